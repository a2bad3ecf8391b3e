"""The edges that speak WeChat: the mini-program API, the platform's client, the desk simulator, the server.

They import `core`, never `admin`; only `app.py` imports everything.
"""

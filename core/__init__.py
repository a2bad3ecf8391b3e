"""The chat engine: it knows neither Flask, WeChat nor Gradio.

Who may import whom, low to high; a module imports only what stands above it:

    errors, messages, settings, logs     import nothing of ours
    history, moderation, embedded, model
    tables, store
    answers
    engine

The edges (`wechat/`, `admin/`) import core and never each other; only `app.py` imports everything.
`tests/test_house_rules.py` holds this.
"""

VERSION = "1.0"

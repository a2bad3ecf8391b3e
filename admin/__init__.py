"""The Gradio console, where staff test prompts, review logs and look after the service.

    server          the process: log-in pages and gate around the Gradio page
    gate            every request's check: who asks, from which page, for which path
    login           log-in, log-out, change of password
    access          the check inside every handler: who asks, and may they; what is written to the operation log
    console         the page: its head and one tab per module below
    playground, prompts, logs, queue, dashboard, safety (words, replies, welcome, people), accounts, operations,
    running
    lane, talk      of 试聊: one draft, and a conversation as bubbles
    logfilter, transcript, known, export    of 日志: its fields, a turn, all that is known of it, its files
    look, charts, wording, paging, confirm, diff    how things are shown, said and asked

It imports core and never `wechat`; only `app.py` imports both.
"""

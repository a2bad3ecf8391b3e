"""The page: its head, and one tab per module."""

from typing import Any

import gradio as gr

from admin import look
from admin.access import Staff
from admin.accounts import Accounts
from admin.dashboard import Board
from admin.logs import Logs
from admin.operations import Operations
from admin.page import Page
from admin.playground import TAB, Playground
from admin.prompts import Prompts
from admin.queue import Queue
from admin.running import Line, Running
from admin.safety import Safety
from admin.services import Services
from core.roles import ROLES

REFRESH_SECONDS = 20  # of the line that tells whether everything runs
UPLOADS_SECONDS = 3600  # how long an uploaded file stays, which is read at once
SESSIONS = 300  # pages whose state is kept, half a megabyte each; Gradio's own limit would be 10,000
CONCURRENT = 20  # calls of one handler at the same time; each of them holds one of Gradio's 40 threads


def build(services: Services) -> gr.Blocks:
    """The whole console as Gradio's Blocks; nothing of the database is in it, every value comes by an event."""
    settings = services.settings
    title = f"{settings.brand_name} 控制台"
    page = Page(title=title, analytics_enabled=False, delete_cache=(UPLOADS_SECONDS, UPLOADS_SECONDS))
    page.state_session_capacity = SESSIONS
    with page:
        head = gr.HTML(elem_id="head-box")
        state = gr.HTML(elem_id="state")
        with gr.Tabs(elem_id="tabs") as tabs:
            with gr.Tab("试聊", id=TAB, visible=False) as for_editors:
                playground = Playground(services, page, tabs)
            with gr.Tab("提示词", id="prompts") as tab:
                prompts = Prompts(services, tab)
            with gr.Tab("日志", id="logs") as tab:
                logs = Logs(services, page, tab, tabs, playground)
            with gr.Tab("待处理", id="queue") as tab:
                Queue(services, page, tab, tabs, logs)
            with gr.Tab("看板", id="dashboard") as tab:
                Board(services, tab)
            with gr.Tab("安全", id="safety") as tab:
                Safety(services, tab)
            with gr.Tab("员工", id="accounts", visible=False) as for_admins:
                Accounts(services, for_admins)
            with gr.Tab("操作记录", id="operations") as tab:
                Operations(services, tab)
            with gr.Tab("运行", id="running") as tab:
                Running(services, tab)

        on = services.access.on
        on(prompts.try_version.click, playground.show_version, [prompts.shown], playground.shown, role="editor")
        drafted = [prompts.text, prompts.facts]
        on(prompts.try_draft.click, playground.show_draft, drafted, playground.shown, role="editor")

        def greet(who: Staff) -> Any:
            first = gr.skip() if who.may("editor") else gr.update(selected="logs")
            shown = [gr.update(visible=who.may("editor")), gr.update(visible=who.may("admin"))]
            return _head(services, who), *shown, first

        on(page.load, greet, outputs=[head, for_editors, for_admins, tabs])
        line = Line(services)
        on([page.load, gr.Timer(REFRESH_SECONDS).tick], line.show, outputs=[state])
    page.queue(default_concurrency_limit=CONCURRENT)
    return page


def _head(services: Services, who: Staff) -> str:
    """Whose console this is, who is logged in, and what everybody should know."""
    notice = services.source.facts().notice
    told = f'<p class="notice" role="status">{look.esc(notice)}</p>' if notice else ""
    return (
        '<div id="head"><img src="/brand-logo" alt="">'
        f'<span class="name">{look.esc(services.settings.brand_name)} 控制台</span>'
        f'<span class="who"><span>{look.esc(who.name)}（{ROLES[who.role]}）</span><a href="/password">修改密码</a>'
        f'<form method="post" action="/logout"><button>退出</button></form></span>{told}</div>'
    )

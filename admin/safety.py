"""安全: what may be said and by whom."""

from typing import Any

import gradio as gr

from admin.access import Staff
from admin.people import People
from admin.replies import Replies
from admin.services import Services
from admin.welcome import Welcome
from admin.words import Words


class Safety:
    """The tab of tabs."""

    def __init__(self, services: Services, tab: gr.Tab) -> None:
        with gr.Tabs():
            with gr.Tab("词库", id="words") as words:
                Words(services, tab, words)
            with gr.Tab("关键词回复", id="replies") as replies:
                Replies(services, replies)
            with gr.Tab("欢迎语", id="welcome") as welcome:
                Welcome(services, welcome)
            with gr.Tab("用户", id="people", visible=False) as people:
                People(services, people)

        def open_people(who: Staff) -> Any:
            return gr.update(visible=who.may("admin"))

        services.access.on(tab.select, open_people, outputs=[people])

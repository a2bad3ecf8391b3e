"""操作记录: who changed what, when and from where."""

from typing import Any

import gradio as gr

from admin import look
from admin.access import Staff
from admin.services import Services
from core.store import staff

PAGE = 50


class Operations:
    """The tab; everybody may read it."""

    def __init__(self, services: Services, tab: gr.Tab) -> None:
        self._services = services
        on = services.access.on
        before = gr.State(None)  # the oldest entry of the pages shown before this one
        self._list = gr.HTML()
        with gr.Row(elem_classes="pages"):
            newest = gr.Button("回到最新", size="sm", visible=False)
            older = gr.Button("更早的", size="sm", visible=False)
        page = [self._list, before, newest, older]
        on(tab.select, self.newest, outputs=page)
        on(newest.click, self.newest, outputs=page)
        on(older.click, self.older, [before], page)

    def newest(self, who: Staff) -> Any:
        return self._page(None)

    def older(self, who: Staff, before: int | None) -> Any:
        return self._page(before)

    def _page(self, before: int | None) -> tuple[Any, ...]:
        entries = self._services.database.read(staff.operations, PAGE + 1, before)
        more, entries = len(entries) > PAGE, entries[:PAGE]
        timezone = self._services.settings.timezone
        body = [
            (
                _whole(look.moment(one.created_at, timezone, seconds=True)),
                f"{_whole(one.staff)}<div class='soft'>{_whole(one.address)}</div>",
                _whole(one.action),
                f"{look.esc(one.target)}<div class='soft'>{look.esc(one.detail)}</div>",
            )
            for one in entries
        ]
        shown = look.table(("时间", "谁，从哪里", "做了什么", "对象"), body, "还没有记录。")
        last = entries[-1].id if entries else before
        return shown, last, gr.update(visible=before is not None), gr.update(visible=more)


def _whole(text: str) -> str:
    """A cell that stays on one line; on a phone the table scrolls."""
    return f'<span class="whole">{look.esc(text)}</span>'

"""待处理: what somebody has to look at (complaints, doubtful, disliked and withheld answers), open or done."""

from dataclasses import dataclass
from typing import Any

import gradio as gr
from sqlalchemy import Connection

from admin import known, look
from admin.access import Staff
from admin.logs import Logs
from admin.paging import Desk, Page
from admin.services import Services
from admin.wording import CHANNELS, KINDS
from core.errors import Conflict
from core.store import complaints

PAGE = 30
TITLE = "待处理"
ALL = "all"
STATES = [("待处理", "open"), ("已处理", "done")]
MAX_NOTE_CHARS = 1_000


@dataclass(frozen=True)
class Wanted:
    """Which entries are listed."""

    kind: str = ALL
    state: str = "open"


class Queue:
    """The tab; its head tells how many entries are open."""

    def __init__(self, services: Services, page: gr.Blocks, tab: gr.Tab, tabs: gr.Tabs, logs: Logs) -> None:
        self._services = services
        self._logs = logs
        on = services.access.on
        desk, entry = gr.State(Desk(Wanted())), gr.State(None)
        with gr.Column() as self._listing:
            with gr.Row(elem_classes="filters"):
                self.state = gr.Radio(
                    STATES, value="open", label="处理情况", show_label=False, container=False, min_width=180
                )
                self.kind = gr.Radio(
                    [], value=ALL, label="种类", show_label=False, container=False, scale=3, min_width=300
                )
            shown = gr.HTML(js_on_load=look.PICK, elem_id="queue")
            with gr.Row(elem_classes="pages"):
                newer = gr.Button("更新的", size="sm", visible=False)
                older = gr.Button("更早的", size="sm", visible=False)
        with gr.Column(visible=False, elem_id="entry") as self._detail:
            with gr.Row(elem_classes="pages"):
                back = gr.Button("← 返回列表", size="sm")
                whole = gr.Button("看完整对话", size="sm")
            copy = gr.HTML()
            with gr.Column(visible=False) as closing:
                note = gr.Textbox(label="怎么处理的", lines=2, max_lines=8, max_length=MAX_NOTE_CHARS)
                close = gr.Button("处理完成", variant="primary")

        listing = [tab, self.kind, shown, newer, older]
        both = [self._listing, self._detail, *listing]
        on(page.load, self.count, outputs=[tab])
        on(tab.select, self.again, [desk], listing)
        chosen = [self.state.input, self.kind.input]
        on(chosen, self.choose, [desk, self.state, self.kind], listing, trigger_mode="always_last")
        on(newer.click, self.newer, [desk], listing)
        on(older.click, self.older, [desk], listing)
        opened = [self._listing, self._detail, entry, copy, whole, closing, note]
        on(shown.click, self.pick, outputs=opened, event=True)
        on(back.click, self.back, [desk], both)
        on(close.click, self.close, [entry, note, desk], [*both, copy, closing], role="editor")
        on(whole.click, self.open_turn, [entry], [tabs, *logs.outputs])

    # The list

    def count(self, who: Staff) -> Any:
        return _title(self._services.database.read(complaints.count_open))

    def again(self, who: Staff, desk: Desk[Wanted]) -> Any:
        return desk.show(desk.page, self._draw)

    def choose(self, who: Staff, desk: Desk[Wanted], state: str, kind: str) -> Any:
        return desk.show(Page(Wanted(kind, state)), self._draw)

    def newer(self, who: Staff, desk: Desk[Wanted]) -> Any:
        return desk.show(desk.page.newer(), self._draw)

    def older(self, who: Staff, desk: Desk[Wanted]) -> Any:
        return desk.show(desk.page.older(), self._draw)

    def back(self, who: Staff, desk: Desk[Wanted]) -> Any:
        return gr.update(visible=True), gr.update(visible=False), *self.again(who, desk)

    def _draw(self, page: Page[Wanted]) -> tuple[int | None, list[Any]]:
        database, wanted = self._services.database, page.wanted
        kind: Any = wanted.kind if wanted.kind in KINDS else None
        rows = database.read(complaints.page, PAGE + 1, kind=kind, state=wanted.state, before=page.below)
        waiting = database.read(complaints.open_by_kind)
        more, rows = len(rows) > PAGE, rows[:PAGE]
        none = "还没有处理过的。"
        if wanted.state == "open":
            none = "都处理完了。用户投诉、点踩或回答被拦截时，会出现在这里。"
        choices = [(_counted("全部", sum(waiting.values())), ALL)]
        choices += [(_counted(title, waiting.get(name, 0)), name) for name, title in KINDS.items()]
        listed = look.rows([(str(row.id), self._row(row)) for row in rows], none)
        newer, older = gr.update(visible=bool(page.before)), gr.update(visible=more)
        kinds = gr.update(choices=choices, value=wanted.kind)
        return rows[-1].id if rows else None, [_title(sum(waiting.values())), kinds, listed, newer, older]

    def _row(self, row: Any) -> str:
        done = "" if row.state == "open" else look.chip(f"{row.closed_by or '系统'} 已处理", "good")
        about = look.esc(row.question) if row.question else '<span class="soft">关于整个服务</span>'
        reason = f'<div class="clip soft">{look.esc(row.reason)}</div>' if row.reason else ""
        return (
            f'<div class="line"><span class="soft">{self._when(row)}　{self._channel(row)}</span>'
            f'<span class="chips">{_kind(row)} {done}</span></div><div class="clip asked-line">{about}</div>{reason}'
        )

    # One entry

    def pick(self, who: Staff, event: gr.EventData) -> Any:
        row = self._services.database.read(complaints.get, look.picked(event))
        may = who.may("editor") and row.state == "open"
        whole = gr.update(visible=row.turn_id is not None)
        hidden = gr.update(visible=False), gr.update(visible=True)
        return *hidden, row.id, self._entry(row), whole, gr.update(visible=may), ""

    def close(self, who: Staff, entry: int | None, note: str, desk: Desk[Wanted]) -> Any:
        """Done; or, where somebody was faster, what they have written."""
        if entry is None:
            raise gr.Error("请先选一条。")
        note = look.typed(note)
        if len(note) > MAX_NOTE_CHARS:
            raise gr.Error(f"说明最多 {MAX_NOTE_CHARS} 个字。")
        read = self._services.database.read
        row = read(complaints.get, entry)
        target = f"{KINDS.get(row.kind, row.kind)} {row.receipt}"
        try:
            self._services.access.change(who, "处理待办", target, _close, entry, who.name, note)
        except Conflict:
            pass
        else:
            gr.Info("已标为处理完成。")
            return *self.back(who, desk), gr.skip(), gr.skip()
        row = read(complaints.get, entry)
        told = (
            f"{look.esc(row.closed_by or '别人')} {self._when(row, closed=True)} 已经处理了这一条，你的说明没有保存。"
        )
        gr.Warning(told)
        hidden = gr.update(visible=False), gr.update(visible=True)
        return *hidden, *self.again(who, desk), self._entry(row), gr.update(visible=False)

    def open_turn(self, who: Staff, entry: int | None) -> Any:
        row = None if entry is None else self._services.database.read(complaints.get, entry)
        if row is None or row.turn_id is None:
            raise gr.Error("这一条没有对应的对话。")
        return gr.update(selected="logs"), *self._logs.open(who, row.turn_id)

    def _entry(self, row: Any) -> str:
        pairs = [("编号", look.esc(row.receipt)), ("时间", self._when(row)), ("渠道", self._channel(row))]
        pairs.append(("用户", look.esc(row.user_id) if row.user_id is not None else known.user(None)))
        pairs.append(("理由", f'<span class="pre">{look.esc(row.reason or "没有写")}</span>'))
        if row.state != "open":
            said = f'<div class="pre">{look.esc(row.note)}</div>' if row.note else ""
            when = self._when(row, closed=True) if row.closed_at is not None else ""
            pairs.append(("处理", f"{look.esc(row.closed_by or '系统')} {when}{said}"))
        told = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in pairs)
        bubbles = ""
        if row.question or row.answer:
            bubbles = (
                f'<div class="talk"><div class="asked"><div class="bubble">{look.esc(row.question)}</div></div>'
                f'<div class="answered"><div class="bubble">{look.esc(row.answer or "（没有回答）")}'
                "</div></div></div>"
            )
        return f'<h3 class="title">{_kind(row)}</h3><dl class="pairs">{told}</dl>{bubbles}'

    def _when(self, row: Any, *, closed: bool = False) -> str:
        return look.moment(row.closed_at if closed else row.created_at, self._services.settings.timezone)

    def _channel(self, row: Any) -> str:
        return look.esc(CHANNELS.get(row.channel, row.channel))


def _close(connection: Connection, entry: int, staff: str, note: str) -> None:
    if not complaints.close(connection, entry, staff, note):
        raise Conflict("somebody was faster")


def _kind(row: Any) -> str:
    return look.chip(KINDS.get(row.kind, row.kind), "bad" if row.kind in ("report", "blocked") else "warn")


def _counted(title: str, count: int) -> str:
    return f"{title} {count}" if count else title


def _title(count: int) -> Any:
    return gr.update(label=f"{TITLE}（{count}）" if count else TITLE)

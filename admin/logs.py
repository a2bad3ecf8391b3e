"""日志: every question and answer, found by anything that is known of it; read in its conversation; exported."""

import re
import time
from collections.abc import Iterator, Sequence
from typing import Any

import gradio as gr

from admin import known, logfilter, look
from admin.access import Staff
from admin.logfilter import FilterForm
from admin.paging import Desk, Page
from admin.playground import Playground
from admin.services import CHANNEL, Services
from admin.transcript import Chosen, Transcript
from admin.wording import CHANNELS
from core import indexing
from core.errors import NotFound
from core.store import turnlog
from core.store.turnlog import Filter, Line
from core.tables import now_ms

PAGE = 50
LAG_MS = 300_000  # the indexer is always a moment behind; from here on it is said
FRAME_SECONDS = 0.3
TURN = "() => [new URLSearchParams(location.search).get('turn') || '']"

# When an export is ready, it is fetched at once; the link stays, should the browser have refused.
FETCH = "watch('value', () => element.querySelector('a[data-ready]')?.click())"


EVERYTHING = Filter(without=CHANNEL)


class Logs:
    """The tab; `open` brings a turn into view, for other tabs with `outputs`."""

    def __init__(
        self, services: Services, page: gr.Blocks, tab: gr.Tab, tabs: gr.Tabs, playground: Playground
    ) -> None:
        self._services = services
        self._playground = playground
        on = services.access.on
        desk = gr.State(Desk(EVERYTHING))
        linked = gr.Textbox(visible=False)
        with gr.Column() as self._listing:
            self._form = form = FilterForm(services.settings.timezone)
            head = gr.HTML()
            shown = gr.HTML(js_on_load=look.PICK, elem_id="log")
            with gr.Row(elem_classes="pages"):
                newer = gr.Button("更新的", size="sm", visible=False)
                older = gr.Button("更早的", size="sm", visible=False)
                csv = gr.Button("导出 CSV", size="sm", visible=False)
                jsonl = gr.Button("导出 JSONL", size="sm", visible=False)
            progress = gr.HTML(js_on_load=FETCH)
        with gr.Column(visible=False) as self._detail:
            with gr.Row(elem_classes="pages"):
                back = gr.Button("← 返回列表", size="sm")
                whole = gr.Button("只看这个用户", size="sm")
            self.transcript = Transcript(services)
        self.outputs = [self._listing, self._detail, *self.transcript.outputs]

        listing = [head, shown, newer, older, csv, jsonl]
        on(tab.select, self.again, [desk], listing)
        sent = [form.search.click, *(one.submit for one in (form.text, form.user, form.since, form.until))]
        picked = [one.input for one in (form.when, form.channel, form.flags, form.status)]
        on(sent + picked, self.search, [desk, *form.fields], listing, trigger_mode="always_last")
        on(form.clear.click, self.clear, [desk], [*form.fields, *listing])
        on(newer.click, self.newer, [desk], listing)
        on(older.click, self.older, [desk], listing)
        on(shown.click, self.pick, outputs=self.outputs, event=True)
        on(back.click, self.back, [desk], [self._listing, self._detail, *listing])
        chosen = self.transcript.chosen
        of_user = [*form.fields, self._listing, self._detail, *listing]
        on(whole.click, self.of_user, [desk, chosen], of_user)
        on(self.transcript.again.click, self.ask_again, [chosen], [tabs, playground.question], role="editor")
        for button, work in ((csv, self.export_csv), (jsonl, self.export_jsonl)):
            on(button.click, work, [desk], [progress], role="editor", concurrency_limit=2)
        on(page.load, self.linked, [linked], [tabs, *self.outputs], js=TURN)

    # The list

    def again(self, who: Staff, desk: Desk[Filter]) -> Any:
        return self._show(who, desk, desk.page)

    def search(self, who: Staff, desk: Desk[Filter], *values: Any) -> Any:
        return self._show(who, desk, Page(self._form.wanted(*values)))

    def clear(self, who: Staff, desk: Desk[Filter]) -> Any:
        return *self._form.cleared(), *self._show(who, desk, Page(EVERYTHING))

    def newer(self, who: Staff, desk: Desk[Filter]) -> Any:
        return self._show(who, desk, desk.page.newer())

    def older(self, who: Staff, desk: Desk[Filter]) -> Any:
        return self._show(who, desk, desk.page.older())

    def back(self, who: Staff, desk: Desk[Filter]) -> Any:
        return gr.update(visible=True), gr.update(visible=False), *self.again(who, desk)

    def of_user(self, who: Staff, desk: Desk[Filter], chosen: Chosen | None) -> Any:
        if chosen is None or chosen.user_id is None:
            raise gr.Error("这个用户的资料已经清除。")
        values = self._form.of_user(chosen.user_id)
        visible = gr.update(visible=True), gr.update(visible=False)
        return *values, *visible, *self.search(who, desk, *values)

    def _show(self, who: Staff, desk: Desk[Filter], page: Page[Filter]) -> list[Any]:
        def draw(page: Page[Filter]) -> tuple[int | None, list[Any]]:
            lines = self._services.database.read(turnlog.page, page.wanted, PAGE + 1, page.below)
            more, lines = len(lines) > PAGE, lines[:PAGE]
            none = "没有更早的了。" if page.before else "没有符合条件的对话。换个词，或清空条件再找。"
            if page == Page(EVERYTHING):
                none = "还没有人提过问题。有了对话，就会出现在这里。"
            rows = look.rows([(str(line.id), self._row(line, page.wanted.text)) for line in lines], none)
            number = f'<p class="soft">第 {len(page.before) + 1} 页</p>' if page.before else ""
            newer, older = gr.update(visible=bool(page.before)), gr.update(visible=more)
            may = gr.update(visible=who.may("editor"))
            return lines[-1].id if lines else None, [self._indexing() + number, rows, newer, older, may, may]

        return desk.show(page, draw)

    def _indexing(self) -> str:
        progress = self._services.database.read(indexing.progress)
        if progress.share >= 1 or progress.upto > now_ms() - LAG_MS:
            return ""
        share = min(99, int(progress.share * 100))
        return look.notice(f"正在建立搜索索引，已完成 {share}%。在那之前，查找会慢一些，较早的对话可能找不全。")

    def _row(self, line: Line, searched: str) -> str:
        when = look.moment(line.created_at, self._services.settings.timezone)
        channel = CHANNELS.get(line.channel, line.channel)
        return (
            f'<div class="line"><span class="soft">{when}　{look.esc(channel)}　{known.user(line.user_id)}</span>'
            f'<span class="chips">{known.line_chips(line)}</span></div>'
            f'<div class="clip asked-line">{_found(line.question, searched)}</div>'
            f'<div class="clip soft">{_found(line.answer, searched)}</div>'
        )

    # A turn

    def pick(self, who: Staff, event: gr.EventData) -> Any:
        return self.open(who, look.picked(event))

    def open(self, who: Staff, turn_id: int) -> tuple[Any, ...]:
        """The values of `outputs` for a turn in its conversation; raises NotFound."""
        return gr.update(visible=False), gr.update(visible=True), *self.transcript.show(who, turn_id)

    def linked(self, who: Staff, turn: str) -> Any:
        """The turn an address names (`?turn=…`)."""
        if turn.isascii() and turn.isdigit() and len(turn) <= 18:
            try:
                return gr.update(selected="logs"), *self.open(who, int(turn))
            except NotFound:
                gr.Warning("链接里的这一轮对话已经不在了。")
        return (gr.skip(),) * (1 + len(self.outputs))

    def ask_again(self, who: Staff, chosen: Chosen | None) -> Any:
        return self._playground.show_question(who, self.transcript.question(chosen))

    # Export

    def export_csv(self, who: Staff, desk: Desk[Filter]) -> Iterator[str]:
        yield from self._export(who, desk.page.wanted, "csv")

    def export_jsonl(self, who: Staff, desk: Desk[Filter]) -> Iterator[str]:
        yield from self._export(who, desk.page.wanted, "jsonl")

    def _export(self, who: Staff, wanted: Filter, kind: str) -> Iterator[str]:
        services = self._services
        services.access.note(who, "导出日志", kind.upper(), logfilter.told(wanted, services.settings.timezone))
        shown = 0.0
        try:
            for one in services.exports.write(who.name, kind, wanted, services.settings.timezone):
                if one.name:
                    yield _ready(one.name, kind, one.rows, one.size)
                elif time.monotonic() - shown > FRAME_SECONDS:
                    shown = time.monotonic()
                    yield _running(one.share, one.rows)
        except OSError as fault:
            raise gr.Error("服务器的磁盘写不下了，没有导出。") from fault


def _running(share: float, rows: int) -> str:
    return (
        f'<div class="export"><div class="track"><i style="width:{share:.1%}"></i></div>'
        f'<span class="soft">已写 {rows:,} 条，约 {share:.0%}</span></div>'
    )


def _ready(name: str, kind: str, rows: int, size: int) -> str:
    amount = f"{size / 1e6:.1f} MB" if size > 1e6 else f"{size / 1e3:.0f} KB"
    return (
        f'<div class="export"><a data-ready href="/export/{look.esc(name)}" download>下载 {kind.upper()}</a>'
        f'<span class="soft">{rows:,} 条，{amount}；一小时内有效，只有你能下载</span></div>'
    )


def _found(text: str, searched: str) -> str:
    """A text with the words that were searched marked."""
    words: Sequence[str] = [re.escape(word) for word in searched.split()]
    if not words:
        return look.esc(text)
    parts = re.split(f"({'|'.join(words)})", text, flags=re.IGNORECASE)
    return "".join(f"<mark>{look.esc(part)}</mark>" if at % 2 else look.esc(part) for at, part in enumerate(parts))

"""提示词: numbered versions of the system prompt, their differences, and which of them is live where."""

from typing import Any

import gradio as gr

from admin import look
from admin.access import Staff
from admin.confirm import Confirm
from admin.diff import diff
from admin.services import Services
from admin.wording import CHANNELS
from core.errors import Conflict
from core.history import MESSAGE_TOKENS, TokenEstimator
from core.live import with_facts
from core.store import content

PAGE = 20
MAX_TEXT_CHARS, MAX_NOTE_CHARS = 50_000, 500
BOTH = "both"
CHOICES = [("小程序和公众号", BOTH), *((CHANNELS[channel], channel) for channel in content.CHANNELS)]


class Prompts:
    """The tab; everybody may read it, editors may write and publish.

    For the tab 试聊: `try_version` opens the version whose number is in the State `shown`; `try_draft` opens what is
    being written in the boxes `text` and `facts`.
    """

    def __init__(self, services: Services, tab: gr.Tab) -> None:
        self._services = services
        on = services.access.on
        self.shown = gr.State(None)
        size = gr.State(PAGE)
        labels = gr.State({})  # what was live where when the page was loaded
        base = gr.State(None)  # the version a new one is being written from
        with gr.Row():
            with gr.Column(scale=2, min_width=320):
                listed = gr.HTML(js_on_load=look.PICK, elem_classes="tall")
                older = gr.Button("更早的版本", size="sm")
            with gr.Column(scale=3, min_width=320):
                view = gr.HTML()
                with gr.Row():
                    self.try_version = gr.Button("在试聊中打开", size="sm", visible=False)
                    edit = gr.Button("以这一版为底稿，写新版本", size="sm", visible=False)
                with gr.Column(visible=False, elem_classes="card") as editor:
                    title = gr.HTML()
                    self.text = gr.Textbox(label="系统提示词", lines=10, max_lines=24, max_length=MAX_TEXT_CHARS)
                    self.facts = gr.Textbox(
                        label="品牌资料",
                        info="营业时间、地址、价格等事实，会接在提示词后面一起发给模型",
                        lines=4,
                        max_lines=16,
                    )
                    note = gr.Textbox(label="备注", placeholder="改了什么，为什么", max_length=MAX_NOTE_CHARS)
                    count = gr.HTML()
                    with gr.Row():
                        save = gr.Button("保存为新版本", variant="primary")
                        self.try_draft = gr.Button("先在试聊中试试")
                        drop = gr.Button("放弃")
                    draft = [editor, title, self.text, self.facts, note, count, base]
                    Confirm(services.access, drop, self._sure_to_drop, self.drop, [], draft, role="editor")
                with gr.Column(visible=False) as publishing:
                    channels = gr.Radio(CHOICES, value=BOTH, label="设为线上")
                    publish = gr.Button("设为线上…", variant="primary")
                    Confirm(
                        services.access,
                        publish,
                        self._sure_to_publish,
                        self.publish,
                        [self.shown, channels, labels, size],
                        [listed, size, labels, older, self.shown, view, channels],
                        role="editor",
                        yes="确认发布",
                        variant="primary",
                    )
                with gr.Row(elem_classes="line"):
                    other = gr.Dropdown([], label="和哪一版比较", scale=2)
                    compare = gr.Button("比较", size="sm", min_width=90, scale=1)
                difference = gr.HTML()

        page = [listed, size, labels, older, self.shown, view, channels]
        on(tab.select, self.load, [self.shown, size], [*page, other, edit, self.try_version, publishing])
        on(older.click, self.more, [self.shown, size], [*page, other])
        on(listed.click, self.show, [size], [self.shown, view, channels, difference, listed], event=True)
        on(compare.click, self.compare, [other, self.shown], [difference])
        on(edit.click, self.edit, [self.shown, base, self.text, self.facts], draft, role="editor")
        counted = [self.text, self.facts]
        # (`input` of a textbox is for keys only: nothing is told of what is pasted)
        typed = [box.change for box in counted]
        on(typed, self.count, counted, [count], role="editor", trigger_mode="always_last")
        written = [self.text, self.facts, note, base]
        on(save.click, self.save, written, [*page, other, difference, *draft], role="editor")

    # What there is

    def load(self, who: Staff, shown: int | None, size: int) -> Any:
        may = who.may("editor")
        return *self._page(shown, size), self._others(size), *[gr.update(visible=may)] * 3

    def more(self, who: Staff, shown: int | None, size: int) -> Any:
        return *self._page(shown, size + PAGE), self._others(size + PAGE)

    def show(self, who: Staff, event: gr.EventData, size: int) -> Any:
        picked = look.picked(event)
        listed, _, _, _, *view = self._page(picked, size)
        return *view, "", listed

    def _page(self, shown: int | None, size: int) -> tuple[Any, ...]:
        """The list, how long it is, what is live, whether there is more; the version shown, and what to publish."""
        database = self._services.database
        versions = database.read(content.prompt_versions, size + 1)
        live = database.read(content.live_prompts)
        if shown is None and (first := live.get("miniprogram") or next(iter(versions), None)):
            shown = first.id
        labels = {channel: row.id for channel, row in live.items()}
        rows = [(str(one.id), self._row(one, labels, one.id == shown)) for one in versions[:size]]
        listed = look.rows(rows, "还没有提示词。")
        row = database.read(content.prompt_version, shown) if shown is not None else None
        view = self._view(row, labels) if row is not None else look.empty("还没有提示词。")
        more = gr.update(visible=len(versions) > size)
        return listed, size, labels, more, shown, view, gr.update(label=f"把第 {shown} 版设为线上")

    def _row(self, row: Any, labels: dict[str, int], shown: bool) -> str:
        mark = look.chip("正在看") if shown else ""
        return (
            f"<b>第 {row.id} 版</b> {_live(row.id, labels)} {mark}"
            f'<div class="soft">{look.esc(row.note or "没有备注")}</div><div class="soft">{self._made(row)}</div>'
        )

    def _view(self, row: Any, labels: dict[str, int]) -> str:
        facts = look.text(row.facts) if row.facts.strip() else look.empty("没有填写品牌资料。")
        return (
            f'<h3 class="title">第 {row.id} 版 {_live(row.id, labels)}</h3>'
            f'<div class="soft">{self._made(row)}　{look.esc(row.note)}</div>'
            f'<div class="caption">系统提示词</div>{look.text(row.text)}'
            f'<div class="caption">品牌资料</div>{facts}{self._room(row.text, row.facts)}'
        )

    def _made(self, row: Any) -> str:
        author = f"{look.esc(row.author)}　" if row.author else ""
        return author + look.moment(row.created_at, self._services.settings.timezone)

    def _others(self, size: int) -> Any:
        versions = self._services.database.read(content.prompt_versions, size)
        return gr.update(choices=[(f"第 {one.id} 版　{one.note[:20]}", one.id) for one in versions])

    def compare(self, who: Staff, other: int | None, shown: int | None) -> str:
        if other is None or shown is None:
            raise gr.Error("请先选一版来比较。")
        rows = [self._services.database.read(content.prompt_version, number) for number in sorted((other, shown))]
        parts = [
            f'<div class="caption">{title}</div>{changes}'
            for title, changes in (
                ("系统提示词", diff(rows[0].text, rows[1].text)),
                ("品牌资料", diff(rows[0].facts, rows[1].facts)),
            )
            if changes
        ]
        head = f'<h3 class="title">从第 {rows[0].id} 版到第 {rows[1].id} 版</h3>'
        return head + ("".join(parts) or look.empty("两版的内容一样。"))

    # A new version

    def edit(self, who: Staff, shown: int, base: int | None, text: str, facts: str) -> Any:
        if base is not None and base != shown:
            row = self._services.database.read(content.prompt_version, base)
            if (text, facts) != (row.text, row.facts):
                gr.Warning(f"从第 {base} 版改写的草稿还没有保存，请先保存或放弃它。")
                return (gr.skip(),) * 7
        if base == shown:
            return (gr.update(visible=True), *(gr.skip(),) * 6)
        row = self._services.database.read(content.prompt_version, shown)
        title = f'<h3 class="title">在第 {shown} 版的基础上写新版本</h3>'
        return gr.update(visible=True), title, row.text, row.facts, "", self._room(row.text, row.facts), shown

    def count(self, who: Staff, text: str, facts: str) -> str:
        return self._room(look.typed(text), look.typed(facts))

    def save(self, who: Staff, text: str, facts: str, note: str, base: int | None) -> Any:
        text, facts, note = (look.typed(part) for part in (text, facts, note))
        if not text:
            raise gr.Error("系统提示词是空的。")
        if len(facts) > content.MAX_FACTS_CHARS:
            most = f"品牌资料最多 {content.MAX_FACTS_CHARS} 字，现在有 {len(facts)} 字。"
            raise gr.Error(most)
        if len(text) > MAX_TEXT_CHARS or len(note) > MAX_NOTE_CHARS:
            raise gr.Error("系统提示词或备注太长了。")
        if base is not None:
            row = self._services.database.read(content.prompt_version, base)
            if (text, facts) == (row.text.strip(), row.facts.strip()):
                raise gr.Error(f"和第 {base} 版一样，没有可保存的。")
        number = self._services.access.change(
            who,
            "写提示词",
            "新版本",
            content.add_prompt,
            text,
            facts,
            note,
            who.name,
            detail=lambda number: f"第 {number} 版，底稿第 {base} 版：{note}",
        )
        gr.Info(f"已保存为第 {number} 版，还没有上线。")
        return *self._page(number, PAGE), self._others(PAGE), "", *self.drop(who)

    def drop(self, who: Staff) -> list[Any]:
        return [gr.update(visible=False), "", "", "", "", "", None]

    def _sure_to_drop(self, who: Staff) -> str:
        return "放弃这份草稿？没有保存的内容会丢失。"

    def _room(self, text: str, facts: str) -> str:
        """How long it is, and whether a question still fits behind it."""
        settings, context = self._services.settings, self._services.source.facts().context_tokens
        estimate = TokenEstimator().estimate(with_facts(text, facts)) + MESSAGE_TOKENS
        left = context - min(settings.max_tokens, context // 2) - estimate
        told = (
            f'<div class="soft">系统提示词 {len(text):,} 字，品牌资料 {len(facts):,} / {content.MAX_FACTS_CHARS:,} '
            f"字，合计约 {estimate:,} token；给对话历史和问题留下约 {max(0, left):,} token。</div>"
        )
        one_look = f"这个模型一次只能看 {context:,} token"
        if left < min(settings.max_question_chars, context // 8):
            told += look.notice(f"{one_look}，几乎放不下用户的问题：发布后很多问题会答不上来。")
        elif left < settings.max_question_chars + settings.max_tokens:
            told += look.notice(f"{one_look}，偏紧：遇到长问题时，会看不到之前的对话。")
        return told

    # Live

    def _sure_to_publish(self, who: Staff, shown: int, where: str, labels: dict[str, int], size: int) -> str:
        row = self._services.database.read(content.prompt_version, shown)
        now = [
            CHANNELS[one] + (f"（现在是第 {labels[one]} 版）" if one in labels else "") for one in _channels(where)
        ]
        return f"把<b>第 {shown} 版</b>设为{look.esc('和'.join(now))}的线上版本？{self._room(row.text, row.facts)}"

    def publish(self, who: Staff, shown: int, where: str, labels: dict[str, int], size: int) -> list[Any]:
        channels = _channels(where)
        names = "和".join(CHANNELS[one] for one in channels)
        before = "，".join(f"{CHANNELS[one]}原来是第 {labels[one]} 版" for one in channels if one in labels)
        work = (content.publish_prompt, shown, channels, labels)
        try:
            self._services.access.change(who, "发布提示词", f"第 {shown} 版到{names}", *work, detail=before)
        except Conflict:
            gr.Warning("别人刚刚换过线上版本，所以没有发布。列表已更新，请看过后再决定。")
        else:
            gr.Info(f"第 {shown} 版几秒内在{names}生效。")
        return list(self._page(shown, size))


def _channels(where: str) -> list[str]:
    return list(content.CHANNELS) if where == BOTH else [where]


def _live(number: int, labels: dict[str, int]) -> str:
    return " ".join(look.chip(f"线上·{CHANNELS.get(one, one)}", "good") for one in labels if labels[one] == number)

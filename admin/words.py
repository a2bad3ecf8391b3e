"""词库: what the filter looks for. Found, added by the thousand, changed, and tried against a text."""

from typing import Any, cast

import gradio as gr
from sqlalchemy import Connection

from admin import look
from admin.access import Staff
from admin.confirm import Confirm
from admin.services import Services
from admin.talk import mark
from admin.wording import ACTIONS
from core import wordlist
from core.errors import ContentBlocked
from core.moderation import Action, WordFilter
from core.store import content
from core.store.content import WordQuery

PAGE, EXAMPLES, MAX_LINES, MAX_TRIED_CHARS = 50, 5, 200_000, 20_000
KINDS: dict[str, str] = {"mask": "warn", "block": "bad", "allow": "good"}
CHOICES = [(f"{name}：{means}", key) for key, name, means in (
    ("mask", "打码", "回答里显示为 **"),
    ("block", "拦截", "拒绝这样的问题，中断这样的回答"),
    ("allow", "放行", "含有别的词也不算命中，如“反暴力”"),
)]  # fmt: skip
HOW = "每行一个词。也可以在词后面写动作和类别，用逗号隔开，如：赌博,拦截,法律"


class Words:
    """The tab; everybody may look and try, editors may change."""

    def __init__(self, services: Services, *tabs: gr.Tab) -> None:
        self._services = services
        access, on = services.access, services.access.on
        offset, chosen = gr.State(0), gr.State(None)
        with gr.Row():
            with gr.Column(scale=3, min_width=320):
                with gr.Row(elem_classes="fields"):
                    search = gr.Textbox(label="找词", placeholder="词里的几个字", scale=2, min_width=280)
                    every = [("全部", ""), *((name, key) for key, name in ACTIONS.items())]
                    action = gr.Dropdown(every, value="", label="动作", min_width=110)
                    category = gr.Dropdown([("全部", "")], value="", label="类别", min_width=110)
                summary = gr.HTML()
                listed = gr.HTML(js_on_load=look.CHOOSE, elem_classes="tall")
                with gr.Row():
                    newer = gr.Button("上一页", size="sm")
                    older = gr.Button("下一页", size="sm")
                    all_found = gr.Button("修改或删除全部找到的…", size="sm", visible=False)
            with gr.Column(scale=2, min_width=320, elem_classes="side"):
                with gr.Column(visible=False, elem_classes="card") as panel:
                    told = gr.HTML(js_on_load=look.IN_VIEW)
                    to = gr.Radio([("不改", ""), *((name, key) for key, name in ACTIONS.items())], label="动作")
                    into = gr.Textbox(label="类别", placeholder="不填就不改", max_length=wordlist.MAX_CATEGORY_CHARS)
                    with gr.Row():
                        save = gr.Button("保存", variant="primary")
                        delete = gr.Button("删除…")
                        close = gr.Button("关闭")
                    found = [search, action, category, offset]
                    page = [listed, offset, summary, newer, older, all_found, category]
                    closed = [panel, told, to, into, chosen]
                    Confirm(
                        access,
                        delete,
                        self._sure_to_delete,
                        self.delete,
                        [chosen, *found],
                        [*page, *closed],
                        role="editor",
                        yes="确认删除",
                    )
                with gr.Column(visible=False, elem_classes="card") as adding:
                    new = gr.Textbox(label="加词", info=HOW, lines=4, max_lines=12, placeholder="赌博\n代开发票")
                    new_action = gr.Radio(CHOICES, value="mask", label="没写动作的词")
                    new_category = gr.Textbox(label="没写类别的词归入", max_length=wordlist.MAX_CATEGORY_CHARS)
                    with gr.Row():
                        add = gr.Button("添加", variant="primary")
                        upload = gr.UploadButton("从 .txt 或 .csv 导入", file_types=[".txt", ".csv"], type="binary")
                    report = gr.HTML()
                with gr.Column(elem_classes="card"):
                    text = gr.Textbox(label="试一试", lines=3, max_lines=10, placeholder="贴一段话，看看会命中什么")
                    trying = gr.Button("试一试")
                    outcome = gr.HTML()

        for tab in tabs:
            on(tab.select, self.load, found, [*page, adding])
        asked = [search.change, action.input, category.input]
        on(asked, self.find, found[:3], page, trigger_mode="always_last")
        on(newer.click, self.newer, found, page)
        on(older.click, self.older, found, page)
        on(listed.select, self.choose, [], closed, role="editor", event=True)
        on(all_found.click, self.choose_all, found[:3], closed, role="editor")
        on(close.click, self.close, [], closed, role="editor")
        on(save.click, self.change, [chosen, to, into, *found], [*page, *closed], role="editor")
        on(add.click, self.add, [new, new_action, new_category, *found], [report, new, *page], role="editor")
        given = [upload, new_action, new_category, *found]
        on(upload.upload, self.add_file, given, [report, *page], role="editor", show_progress="minimal")
        on(trying.click, self.attempt, [text], [outcome])

    # The list

    def load(self, who: Staff, search: str, action: str, category: str, offset: int) -> Any:
        return *self._page(who, search, action, category, offset), gr.update(visible=who.may("editor"))

    def find(self, who: Staff, search: str, action: str, category: str) -> Any:
        return self._page(who, search, action, category, 0)

    def newer(self, who: Staff, search: str, action: str, category: str, offset: int) -> Any:
        return self._page(who, search, action, category, offset - PAGE)

    def older(self, who: Staff, search: str, action: str, category: str, offset: int) -> Any:
        return self._page(who, search, action, category, offset + PAGE)

    def _page(self, who: Staff, search: str, action: str, category: str, offset: int) -> tuple[Any, ...]:
        database = self._services.database
        categories = database.read(content.word_categories)
        if category not in categories:
            category = ""  # its last word has just gone
        query = _query(search, action, category)
        offset = max(0, offset)
        rows, total = database.read(content.word_page, query, PAGE, offset)
        if not rows and total:
            offset = (total - 1) // PAGE * PAGE
            rows, total = database.read(content.word_page, query, PAGE, offset)
        told = f"第 {offset + 1:,}–{offset + len(rows):,} 个，共 {total:,} 个" if total else ""
        may = who.may("editor")
        none = "没有这样的词。" if query != WordQuery() else "词库是空的。可以逐个添加，也可以一次导入几千个。"
        listed = look.choices([(str(row.id), self._row(row)) for row in rows], none, choosing=may)
        return (
            listed,
            offset,
            f'<div class="soft">{told}</div>',
            gr.update(interactive=offset > 0),
            gr.update(interactive=offset + len(rows) < total),
            gr.update(visible=may and total > 1 and query != WordQuery()),
            gr.update(choices=[("全部", ""), *((one, one) for one in categories)], value=category),
        )

    def _row(self, row: Any) -> str:
        when = look.moment(row.created_at, self._services.settings.timezone)
        about = "　".join(look.esc(part) for part in (row.category, row.author, when) if part)
        return (
            f'<span class="word">{look.esc(row.text)}</span> {look.chip(ACTIONS[row.action], KINDS[row.action])}'
            f'<span class="soft about">{about}</span>'
        )

    # Changing some

    def choose(self, who: Staff, event: gr.EventData) -> Any:
        return self._panel(WordQuery(ids=[int(one) for one in event._data["ids"][:PAGE]]))

    def choose_all(self, who: Staff, search: str, action: str, category: str) -> Any:
        return self._panel(_query(search, action, category))

    def _panel(self, query: WordQuery) -> Any:
        rows, total = self._services.database.read(content.word_page, query, EXAMPLES)
        one = rows[0] if total == 1 else None
        told = f'<div class="title">{look.esc(_named(rows, total))}</div>'
        return gr.update(visible=True), told, one.action if one else "", one.category if one else "", query

    def close(self, who: Staff) -> Any:
        return gr.update(visible=False), "", "", "", None

    def change(self, who: Staff, chosen: WordQuery | None, action: str, category: str, *found: Any) -> Any:
        if chosen is None:
            return self._again(who, found)
        category = look.typed(category)

        def work(connection: Connection) -> tuple[int, str]:
            rows, total = content.word_page(connection, chosen, EXAMPLES)
            kind = category if category or total == 1 else None
            changed = content.change_words(
                connection, chosen, action=cast(Action, action) if action else None, category=kind
            )
            return changed, _named(rows, total)

        to = "，".join(part for part in (ACTIONS.get(action, ""), category and f"类别 {category}") if part)
        detail = f"改为{to}" if to else "没有改动"
        count, _ = self._services.access.change(
            who, "修改词", "词库", work, detail=lambda result: f"{result[1]}：{detail}"
        )
        gr.Info(f"改了 {count:,} 个词，几秒内生效。")
        return self._again(who, found)

    def _sure_to_delete(self, who: Staff, chosen: WordQuery | None, *found: Any) -> str:
        if chosen is None:
            raise gr.Error("请先选中要删除的词。")
        rows, total = self._services.database.read(content.word_page, chosen, EXAMPLES)
        return f"删除{look.esc(_named(rows, total))}？删除后不能恢复。"

    def delete(self, who: Staff, chosen: WordQuery, *found: Any) -> Any:
        def work(connection: Connection) -> tuple[int, str]:
            rows, total = content.word_page(connection, chosen, EXAMPLES)
            return content.delete_words(connection, chosen), _named(rows, total)

        count, _ = self._services.access.change(who, "删除词", "词库", work, detail=lambda result: result[1])
        gr.Info(f"删除了 {count:,} 个词，几秒内生效。")
        return self._again(who, found)

    def _again(self, who: Staff, found: tuple[Any, ...]) -> Any:
        return *self._page(who, *found), *self.close(who)

    # Adding

    def add(self, who: Staff, text: str, action: str, category: str, *found: Any) -> Any:
        if not look.typed(text):
            raise gr.Error("请先写下要加的词。")
        return self._import(who, text, action, category, "添加词"), "", *self.find(who, *found[:3])

    def add_file(self, who: Staff, data: bytes | None, action: str, category: str, *found: Any) -> Any:
        try:
            text = wordlist.decoded(data or b"")
        except ValueError:
            why = "这个文件不是文本。请另存为 .txt 或 .csv（UTF-8 或 GBK）再导入。"
            raise gr.Error(why) from None
        return self._import(who, text, action, category, "导入词"), *self.find(who, *found[:3])

    def _import(self, who: Staff, text: str, action: str, category: str, name: str) -> str:
        if text.count("\n") > MAX_LINES:
            most = f"一次最多 {MAX_LINES:,} 行，请分几次导入。"
            raise gr.Error(most)
        told = wordlist.read(text, cast(Action, action), look.typed(category) or None)
        if not told.entries:
            return _report(None, told)
        names = "、".join(entry.text for entry in told.entries[:EXAMPLES])

        def detail(done: content.Imported) -> str:
            counts = f"新增 {done.new}，改动 {done.changed}，已有 {done.same}，跳过 {len(told.skipped)}"
            return f"{names}{' 等' if len(told.entries) > EXAMPLES else ''}（{counts}）"

        work = (content.import_words, told.entries, who.name)
        return _report(self._services.access.change(who, name, "词库", *work, detail=detail), told)

    # Trying

    def attempt(self, who: Staff, text: str) -> str:
        if not look.typed(text):
            return look.empty("先在上面贴一段话。")
        self._services.live.refresh()
        return _attempt(self._services.live.words, text[:MAX_TRIED_CHARS])


def _query(search: str, action: str, category: str) -> WordQuery:
    return WordQuery(look.typed(search), action, category or None)


def _named(rows: Any, total: int) -> str:
    names = "、".join(row.text for row in rows)
    return f"“{names}”" if total == 1 else f" {total:,} 个词（{names}{' 等' if total > len(rows) else ''}）"


def _report(done: content.Imported | None, told: wordlist.WordList) -> str:
    """What became of a list of words."""
    if done is None:
        result = look.notice("没有找到可以添加的词。")
    else:
        counts = f"新增 {done.new:,} 个，改动 {done.changed:,} 个，原来就有 {done.same:,} 个"
        skipped = f"，跳过 {len(told.skipped):,} 行" if told.skipped else ""
        result = look.notice(f"{counts}{skipped}。几秒内生效。", "good")
    lines = [(str(one.line), look.esc(one.text[:40]), look.esc(one.why)) for one in told.skipped[:20]]
    more = f'<div class="soft">还有 {len(told.skipped) - 20:,} 行</div>' if len(told.skipped) > 20 else ""
    return result + (look.table(("行", "内容", "为什么跳过"), lines, "") + more if lines else "")


def _attempt(words: WordFilter, text: str) -> str:
    """What the filter finds in a text, and what a user would see of it."""
    hits = words.find(text)
    blocked = next((hit.word for hit in hits if hit.action == "block"), None)
    asked = f"会被拒绝，因为有“{blocked}”" if blocked else "可以提问"
    guard = words.guard()
    try:
        seen, ended = guard.feed(text) + guard.flush(), ""
    except ContentBlocked:
        seen, ended = guard.released, look.chip("回答到这里中断", "bad")
    return (
        f'<div class="caption">命中 {len(hits)} 处</div><div class="text">{mark(text, words)}</div>'
        f'<div class="caption">用户这样问</div>{look.notice(asked, "bad" if blocked else "good")}'
        f'<div class="caption">模型这样回答，用户看到</div><div class="text">{look.esc(seen)}{ended}</div>'
    )

"""关键词回复: sentences of staff's that answer certain words in place of the model."""

from typing import Any

import gradio as gr

from admin import look
from admin.access import Staff
from admin.confirm import Confirm
from admin.services import Services
from core.errors import Conflict
from core.keywords import keyword_row
from core.store import content

MAX_KEYWORD_CHARS, HIGHEST = 100, 1000
MATCHES = {"exact": "完全一样", "contains": "包含"}


class Replies:
    """The tab; everybody may look and try, editors may change."""

    def __init__(self, services: Services, tab: gr.Tab) -> None:
        self._services = services
        access, on = services.access, services.access.on
        seen = gr.State(None)  # the reply that is being changed, as it was when it was opened
        with gr.Row():
            with gr.Column(scale=3, min_width=320):
                add = gr.Button("加一条回复", variant="primary", visible=False)
                listed = gr.HTML(js_on_load=look.PICK)
            with gr.Column(scale=2, min_width=320, elem_classes="side"):
                with gr.Column(visible=False, elem_classes="card") as panel:
                    title = gr.HTML(js_on_load=look.IN_VIEW)
                    keyword = gr.Textbox(label="关键词", max_length=MAX_KEYWORD_CHARS)
                    match = gr.Radio(
                        [(name, key) for key, name in MATCHES.items()], label="用户的话", value="contains"
                    )
                    reply = gr.Textbox(label="回复", lines=4, max_lines=14)
                    with gr.Row():
                        enabled = gr.Checkbox(True, label="启用", min_width=90)
                        priority = gr.Number(
                            0, label="优先级（大的先）", precision=0, minimum=-HIGHEST, maximum=HIGHEST
                        )
                    with gr.Row():
                        save = gr.Button("保存", variant="primary")
                        delete = gr.Button("删除…", visible=False)
                        close = gr.Button("关闭")
                    form = [panel, title, keyword, match, reply, enabled, priority, delete, seen]
                    Confirm(
                        access,
                        delete,
                        self._sure_to_delete,
                        self.delete,
                        [seen],
                        [listed, *form],
                        role="editor",
                        yes="确认删除",
                    )
                with gr.Column(elem_classes="card"):
                    text = gr.Textbox(label="试一试", placeholder="假装是用户，发一句话")
                    trying = gr.Button("哪一条会回复")
                    outcome = gr.HTML()

        on(tab.select, self.load, [], [listed, add])
        on(add.click, self.new, [], form, role="editor")
        on(listed.click, self.open, [], form, role="editor", event=True)
        on(close.click, self.close, [], form, role="editor")
        values = [keyword, match, reply, enabled, priority]
        on(save.click, self.save, [seen, *values], [listed, *form], role="editor")
        on([trying.click, text.submit], self.attempt, [text], [outcome])

    def load(self, who: Staff) -> Any:
        return self._list(who), gr.update(visible=who.may("editor"))

    def _list(self, who: Staff) -> str:
        rows = self._services.database.read(content.every_keyword_reply)
        shown = [(str(row.id), _row(row)) for row in rows]
        none = "还没有关键词回复。比如用户问“营业时间”，可以不经过模型直接回答。"
        return look.rows(shown, none) if who.may("editor") else look.plain_rows([row for _, row in shown], none)

    def new(self, who: Staff) -> Any:
        title = '<div class="title">加一条回复</div>'
        return gr.update(visible=True), title, "", "contains", "", True, 0, gr.update(visible=False), None

    def open(self, who: Staff, event: gr.EventData) -> Any:
        row = self._services.database.read(content.keyword_reply_row, look.picked(event))
        title = f'<div class="title">修改“{look.esc(row.keyword)}”</div>'
        values = row.keyword, row.match, row.reply, row.enabled, row.priority
        return gr.update(visible=True), title, *values, gr.update(visible=True), row

    def close(self, who: Staff) -> Any:
        return gr.update(visible=False), "", "", "contains", "", True, 0, gr.update(visible=False), None

    def save(
        self, who: Staff, seen: Any, keyword: str, match: str, reply: str, enabled: bool, priority: float | None
    ) -> Any:
        keyword, reply = look.typed(keyword), look.typed(reply)
        if not keyword or not reply or match not in MATCHES:
            raise gr.Error("关键词和回复都要填。")
        most = self._services.settings.wechat_text_bytes
        if len(keyword) > MAX_KEYWORD_CHARS or len(reply.encode("utf-8", "replace")) > most:
            told = f"关键词最多 {MAX_KEYWORD_CHARS} 字，回复最多约 {most // 3} 字（公众号一条消息的上限）。"
            raise gr.Error(told)
        values = {
            "keyword": keyword,
            "match": match,
            "reply": reply,
            "enabled": bool(enabled),
            "priority": max(-HIGHEST, min(HIGHEST, int(priority or 0))),
        }
        change, detail = self._services.access.change, f"{MATCHES[match]}，{'启用' if enabled else '停用'}：{reply}"
        if seen is None:
            given = {**values, "author": who.name}
            change(who, "加关键词回复", keyword, content.add_keyword_reply, detail=detail, **given)
        else:
            try:
                change(who, "改关键词回复", keyword, content.change_keyword_reply, seen, detail=detail, **values)
            except Conflict:
                told = f"别人刚刚改过“{look.esc(seen.keyword)}”，所以没有保存。请关闭后重新打开，看过再改。"
                raise gr.Error(told) from None
        gr.Info("已保存，几秒内生效。")
        return self._list(who), *self.close(who)

    def _sure_to_delete(self, who: Staff, seen: Any) -> str:
        return f"删除“{look.esc(seen.keyword)}”的回复？只是暂时不用的话，可以去掉“启用”。"

    def delete(self, who: Staff, seen: Any) -> Any:
        self._services.access.change(
            who, "删除关键词回复", seen.keyword, content.remove_keyword_reply, seen.id, detail=seen.reply
        )
        gr.Info("已删除，几秒内生效。")
        return self._list(who), *self.close(who)

    def attempt(self, who: Staff, text: str) -> str:
        if not look.typed(text):
            return look.empty("先在上面写一句话。")
        row = keyword_row(self._services.database.read(content.keyword_replies), text)
        if row is None:
            return look.notice("没有一条回复符合，会由模型回答。", "")
        return f'<div class="caption">“{look.esc(row.keyword)}”会回复</div>{look.text(row.reply)}'


def _row(row: Any) -> str:
    off = "" if row.enabled else look.chip("停用", "warn")
    rank = look.chip(f"优先级 {row.priority}") if row.priority else ""
    return (
        f"<b>{look.esc(row.keyword)}</b> {look.chip(MATCHES.get(row.match, row.match))} {rank} {off}"
        f'<div class="soft clip">{look.esc(row.reply)}</div>'
    )

"""A turn with the conversation around it, and what staff make of it: a note, a keyword reply, another try."""

from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from admin import known, look
from admin.access import Staff
from admin.services import Services
from admin.talk import Exchange, talk
from core.errors import Conflict
from core.store import content, reviews, turns

MATCHES = [("问题里有这个词", "contains"), ("问题就是这句话", "exact")]
MAX_NOTE_CHARS, MAX_ANSWER_CHARS, MAX_KEYWORD_CHARS = 2_000, 20_000, 100
SCORES = [("不评", 0), *((str(score), score) for score in range(1, 6))]

# The chosen turn comes into view; the rest is look.PICK.
CHOSEN = (
    look.PICK
    + """
watch('value', () => element.querySelector('.chosen')?.scrollIntoView({block: 'nearest'}))
"""
)


@dataclass(frozen=True)
class Chosen:
    """The turn staff look at, when its review was written that they saw, and the keyword reply they are offered."""

    turn_id: int
    reviewed_at: int | None
    user_id: int | None
    offered: str


class Transcript:
    """The view; `outputs` take what `show` returns."""

    def __init__(self, services: Services) -> None:
        self._services = services
        on = services.access.on
        self.chosen = gr.State(None)
        with gr.Row(elem_classes="transcript"):
            with gr.Column(scale=3, min_width=320):
                self.head = gr.HTML()
                self.talk = gr.HTML(js_on_load=CHOSEN, elem_id="transcript")
            with gr.Column(scale=2, min_width=320, visible=False, elem_classes="side") as self.editor:
                self.about = gr.HTML()
                with gr.Group():
                    self.note = gr.Textbox(label="备注", lines=2, max_lines=8, max_length=MAX_NOTE_CHARS)
                    self.score = gr.Radio(SCORES, label="评分", value=0)
                    self.better = gr.Textbox(label="更好的回答", lines=3, max_lines=14, max_length=MAX_ANSWER_CHARS)
                save = gr.Button("保存批注", variant="primary")
                self.again = gr.Button("在试聊中再问一次")
                with gr.Accordion("做成关键词回复", open=False):
                    self.keyword = gr.Textbox(label="关键词", max_length=MAX_KEYWORD_CHARS, max_lines=1)
                    self.match = gr.Radio(MATCHES, label="什么时候用", value="exact")
                    self.reply = gr.Textbox(label="回复", lines=3, max_lines=14)
                    add = gr.Button("添加关键词回复")
        self.outputs = [
            self.head,
            self.talk,
            self.chosen,
            self.editor,
            self.about,
            self.note,
            self.score,
            self.better,
            self.keyword,
            self.match,
            self.reply,
        ]
        review = [self.chosen, self.note, self.score, self.better]
        on(self.talk.click, self.pick, outputs=self.outputs, event=True)
        on(save.click, self.save, [*review, self.reply], [self.talk, self.chosen, self.reply], role="editor")
        on(add.click, self.add, [self.chosen, self.keyword, self.match, self.reply], role="editor")

    def pick(self, who: Staff, event: gr.EventData) -> Any:
        return self.show(who, look.picked(event))

    def show(self, who: Staff, turn_id: int) -> tuple[Any, ...]:
        """The values of `outputs` for a turn; raises NotFound."""
        transcript = self._services.database.read(reviews.transcript, turn_id)
        turn = next(told.turn for told in transcript.turns if told.turn.id == turn_id)
        offered = turn.better_answer or turn.answer
        about = f'<h3 class="title">这一轮</h3><div class="clip soft">{look.esc(turn.question)}</div>'
        return (
            self._head(transcript, turn),
            self._talk(transcript, turn_id),
            Chosen(turn.id, turn.reviewed_at, turn.user_id, look.typed(offered)),
            gr.update(visible=who.may("editor") and turn.user_id is not None),
            about,
            turn.note or "",
            turn.score or 0,
            turn.better_answer or "",
            turn.question.strip()[:MAX_KEYWORD_CHARS],
            "exact",
            offered,
        )

    def _head(self, transcript: reviews.Transcript, turn: Any) -> str:
        title = transcript.conversation.title if transcript.conversation is not None else ""
        deleted = transcript.conversation is not None and transcript.conversation.deleted_at is not None
        whose = known.user(None) if turn.user_id is None else f"用户 {turn.user_id}"
        if names := known.names(self._services.settings, transcript.identities):
            whose += f"（{names}）"
        gone = look.chip("用户已删除这个对话") if deleted else ""
        link = f'<a class="link" href="/?turn={turn.id}">这一轮的链接</a>'
        return (
            f'<h3 class="title">{look.esc(title or "单独的一问")} {gone}</h3>'
            f'<div class="soft pre">{look.esc(whose)}　{link}</div>'
        )

    def _talk(self, transcript: reviews.Transcript, turn_id: int) -> str:
        words, timezone = self._services.live.words, self._services.settings.timezone
        shown = [
            replace(
                Exchange.of(told.turn, words),
                about=known.about(told, timezone, told.turn.id == turn_id),
                chosen=told.turn.id == turn_id,
            )
            for told in transcript.turns
        ]
        earlier = look.empty("更早的没有显示，选上面的一轮就能看到。") if transcript.earlier else ""
        later = look.empty("后面还有，选最下面的一轮就能看到。") if transcript.later else ""
        return f"{earlier}{talk(shown)}{later}"

    # What staff make of it

    def save(self, who: Staff, chosen: Chosen | None, note: str, score: int | None, better: str, reply: str) -> Any:
        """Keep the review, unless somebody else has written one since it was shown."""
        turn = _one(chosen)
        note, better = _text(note, MAX_NOTE_CHARS, "备注"), _text(better, MAX_ANSWER_CHARS, "更好的回答")
        review: dict[str, Any] = {"note": note, "score": score or None, "better_answer": better}
        if score not in (None, 0, 1, 2, 3, 4, 5):
            raise gr.Error("评分是 1 到 5。")
        try:
            self._services.access.change(
                who,
                "批注",
                f"问答 {turn.turn_id}",
                reviews.annotate,
                turn.turn_id,
                who.name,
                **review,
                seen=turn.reviewed_at,
                detail=f"评分 {score}" if score else "",
            )
        except Conflict:
            by = self._services.database.read(turns.get, turn.turn_id).reviewed_by or "别人"
            told = f"{look.esc(by)}刚刚也写了批注，已显示在对话里。你写的还在，再点一次“保存批注”就会取代对方的。"
            gr.Warning(told)
        else:
            gr.Info("批注已保存。")
        transcript = self._services.database.read(reviews.transcript, turn.turn_id)
        now = next(told.turn for told in transcript.turns if told.turn.id == turn.turn_id)
        # A reply nobody has changed yet says what is better.
        offered = better if better and look.typed(reply) in (turn.offered, "") else gr.skip()
        chosen = Chosen(now.id, now.reviewed_at, now.user_id, better or turn.offered)
        return self._talk(transcript, turn.turn_id), chosen, offered

    def add(self, who: Staff, chosen: Chosen | None, keyword: str, match: str, reply: str) -> None:
        """A keyword reply made of the turn."""
        turn = _one(chosen)
        most = self._services.settings.wechat_text_bytes
        keyword, reply = _text(keyword, MAX_KEYWORD_CHARS, "关键词"), _text(reply, most, "回复")
        if not keyword or not reply or match not in dict(MATCHES).values():
            raise gr.Error("关键词和回复都要填。")
        if len(reply.encode("utf-8", "replace")) > most:
            told = f"回复最多约 {most // 3} 字（公众号一条消息的上限）。"
            raise gr.Error(told)
        same = [
            row
            for row in self._services.database.read(content.keyword_replies)
            if (row.keyword.casefold(), row.match) == (keyword.casefold(), match)
        ]
        if same:
            told = f"“{look.esc(keyword)}”已经有回复了，请到“安全”里修改。"
            raise gr.Error(told)
        self._services.access.change(
            who,
            "加关键词回复",
            keyword,
            content.add_keyword_reply,
            keyword,
            match,
            reply,
            author=who.name,
            detail=f"来自问答 {turn.turn_id}",
        )
        gr.Info(f"以后公众号里遇到“{look.esc(keyword)}”，就这样回复。")

    def question(self, chosen: Chosen | None) -> str:
        """What was asked, to ask it again."""
        return str(self._services.database.read(turns.get, _one(chosen).turn_id).question)


def _one(chosen: Chosen | None) -> Chosen:
    if chosen is None:
        raise gr.Error("请先选一轮对话。")
    return chosen


def _text(written: str | None, most: int, name: str) -> str:
    """What stands in a field, as it may be stored."""
    text = look.typed(written)
    if len(text) > most:
        raise gr.Error(f"{name}最多 {most} 个字。")
    return text

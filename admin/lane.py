"""One lane of 试聊: a draft of the prompt with its dials, and the conversation it leads to."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from admin import look
from admin.access import Staff
from admin.services import CHANNEL, Services
from admin.talk import Exchange, sent_to_model, talk
from admin.wording import STAFF
from core.answers import Cursor, LiveAnswer
from core.errors import ContentBlocked
from core.live import with_facts
from core.store import content, turns, users
from core.store.turns import Options

FRAME_SECONDS = 0.05
OWN = "own"
MOST_VERSIONS = 100  # in the list to choose from

# A new bubble is to be seen: on a phone the end of the box stands below the screen, or behind the field below it.
BOX_IN_VIEW = """
let bubbles = 0
watch('value', () => setTimeout(() => {
  const now = element.querySelectorAll('.bubble').length
  const bottom = (one) => one.getBoundingClientRect().bottom
  const field = document.getElementById('ask-row')
  const hidden = bottom(element) - (bottom(field) - field.offsetHeight)
  if (now > bubbles && hidden > 0) scrollBy({top: hidden + 8, behavior: 'smooth'})
  bubbles = now
}, 100))
"""


@dataclass(frozen=True)
class Talk:
    """What a lane remembers between two questions; it never leaves the server."""

    conversation_id: int | None = None
    running: int | None = None  # the turn that is being answered
    exchanges: tuple[Exchange, ...] = ()


class Lane:
    """Its components, and the handlers 试聊 wires to them."""

    def __init__(self, services: Services, name: str) -> None:
        self._services = services
        limit = services.settings.max_tokens_limit
        self.talk = gr.State(Talk())
        with gr.Column(elem_classes="lane", visible=name == "A", elem_id=f"lane-{name.lower()}") as self.box:
            with gr.Column():
                self.shown = gr.HTML(_box(()), js_on_load=BOX_IN_VIEW if name == "A" else None)
                self.figures = gr.HTML()
                with gr.Accordion("实际发给模型的内容", open=False):
                    self.sent = gr.HTML(look.empty("提问后，这里是真正发给模型的消息。"))
            with gr.Accordion(f"草稿 {name}", open=True, elem_classes="dials"):
                self.version = gr.Dropdown(label="从哪一版开始", choices=[], interactive=True)
                self.prompt = gr.Textbox(label="系统提示词", lines=5, max_lines=14)
                self.facts = gr.Textbox(label="品牌资料", lines=3, max_lines=10)
                with gr.Row():
                    self.temperature = gr.Textbox(label="温度", placeholder="模型默认", max_lines=1)
                    self.top_p = gr.Textbox(label="top-p", placeholder="模型默认", max_lines=1)
                with gr.Row():
                    self.max_tokens = gr.Number(
                        label="最多 token", value=services.settings.max_tokens, precision=0, minimum=1, maximum=limit
                    )
                    self.history = gr.Number(
                        label="带几轮历史",
                        value=services.settings.max_history_turns,
                        precision=0,
                        minimum=0,
                        maximum=100,
                    )
                self.thinking = gr.Checkbox(label="深度思考", value=False)
        self.dials = [
            self.version,
            self.prompt,
            self.facts,
            self.temperature,
            self.top_p,
            self.max_tokens,
            self.history,
            self.thinking,
        ]
        self.outputs = [self.shown, self.figures, self.sent, self.talk]
        services.access.on(self.version.input, self.take, [self.version], [self.prompt, self.facts], role="editor")

    def choices(self, who: Staff) -> Any:
        """The versions to begin with, and what is live on the mini-program."""
        database = self._services.database
        live = database.read(content.live_prompts)
        names = {"miniprogram": "小程序", "official": "公众号"}
        where = {
            row.id: "、".join(
                names[channel] for channel, one in live.items() if one.id == row.id and channel in names
            )
            for row in live.values()
        }
        choices = [("自己写", OWN)]
        for row in database.read(content.prompt_versions, MOST_VERSIONS):
            label = f"第 {row.id} 版" + (f" · 线上：{where[row.id]}" if where.get(row.id) else "")
            choices.append((label + (f" · {row.note[:20]}" if row.note else ""), str(row.id)))
        row = live.get("miniprogram") or live.get("official")
        chosen = str(row.id) if row else OWN
        return gr.update(choices=choices, value=chosen), row.text if row else "", row.facts if row else ""

    def take(self, who: Staff, version: str) -> Any:
        """A version's text and facts, to be changed."""
        row = self._version(version)
        return (gr.skip(), gr.skip()) if row is None else (row.text, row.facts)

    def clear(self, who: Staff) -> Any:
        """A new conversation."""
        return _box(()), "", look.empty("提问后，这里是真正发给模型的消息。"), Talk()

    def stop(self, who: Staff, state: Talk) -> None:
        """Stop what is being written."""
        if state.running is not None:
            self._services.engine.stop(self._user(who), state.running)

    def ask(self, who: Staff, question: str, state: Talk, *dials: Any) -> Iterator[Any]:
        """Ask with this lane's draft and show the answer while it is written."""
        if not question.strip():
            raise gr.Error("请先输入问题。")
        options = self._options(*dials)
        earlier = state.exchanges
        try:
            answer = self._services.engine.ask(
                self._user(who), question, channel=CHANNEL, conversation_id=state.conversation_id, options=options
            )
        except ContentBlocked as refusal:
            told = Exchange(question, "", "", "blocked", f"问题命中拦截词“{refusal}”，没有发给模型。")
            yield _box((*earlier, told)), "", gr.skip(), replace(state, exchanges=(*earlier, told), running=None)
            return
        began = time.monotonic()
        state = replace(state, conversation_id=answer.turn.conversation_id, running=answer.turn.id)
        yield _box((*earlier, Exchange(question, "", "", "queued"))), "", gr.skip(), state
        for last, shown in self._follow(answer, question):
            if not last:
                yield _box((*earlier, shown)), "", gr.skip(), gr.skip()
        row = self._services.database.read(turns.get, answer.turn.id)
        done = Exchange.of(row, self._services.live.words)
        state = replace(state, running=None, exchanges=(*earlier, done))
        waited = time.monotonic() - began
        yield _box(state.exchanges), _figures(row, waited), sent_to_model(answer.sent, row.prompt_tokens), state

    def _follow(self, answer: LiveAnswer, question: str) -> Iterator[tuple[bool, Exchange]]:
        """The answer as it grows, at most so many times a second; the last one is marked."""
        cursor = Cursor()
        while True:
            look_ = answer.wait(cursor, 1.0)
            cursor = look_.next
            ended = look_.final or look_.interrupted
            yield ended, Exchange(question, look_.state.text, look_.state.reasoning, look_.state.status)
            if ended:
                return
            time.sleep(FRAME_SECONDS)

    def _user(self, who: Staff) -> int:
        return self._services.database.write(users.sign_in, STAFF, who.name)

    def _version(self, chosen: str | None) -> Any | None:
        if chosen is None or chosen == OWN:
            return None
        return self._services.database.read(content.prompt_version, int(chosen))

    def _options(
        self,
        version: str | None,
        prompt: str,
        facts: str,
        temperature: str,
        top_p: str,
        max_tokens: float | None,
        history: float | None,
        thinking: bool,
    ) -> Options:
        settings = self._services.settings
        row = self._version(version)
        unchanged = row is not None and (row.text, row.facts) == (prompt, facts)
        if max_tokens is not None and not 1 <= max_tokens <= settings.max_tokens_limit:
            raise gr.Error(f"最多 token 应在 1 到 {settings.max_tokens_limit} 之间。")
        return Options(
            max_tokens=int(max_tokens or settings.max_tokens),
            thinking=bool(thinking),
            temperature=look.number("温度", temperature, 0, 2),
            top_p=look.number("top-p", top_p, 0, 1),
            history_turns=settings.max_history_turns if history is None else max(0, int(history)),
            prompt=with_facts(prompt, facts),
            prompt_version=row.id if unchanged and row is not None else None,
        )


def _box(exchanges: Sequence[Exchange]) -> str:
    """The conversation in a box of its own that stays at its end."""
    return f'<div class="talk-box">{talk(exchanges)}</div>'


def _figures(row: Any, waited: float) -> str:
    """How long it took, and how much it was."""
    parts = [f"首字 {look.seconds(row.first_token_ms)}", f"共 {look.seconds(row.duration_ms)}"]
    if row.duration_ms is not None and waited * 1000 - row.duration_ms > 1000:
        parts.insert(0, f"排队 {look.seconds(waited * 1000 - row.duration_ms)}")
    if row.completion_tokens is not None:
        parts.append(f"{row.prompt_tokens} → {row.completion_tokens} token")
        writing = (row.duration_ms or 0) - (row.first_token_ms or 0)
        if writing > 50:
            parts.append(f"{row.completion_tokens / writing * 1000:.0f} token/秒")
    if row.prompt_version is not None:
        parts.append(f"第 {row.prompt_version} 版")
    return f'<p class="figures">{" · ".join(map(look.esc, parts))}</p>'

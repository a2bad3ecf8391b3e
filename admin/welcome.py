"""欢迎语和推荐问题: what somebody reads before they have asked anything."""

from typing import Any

import gradio as gr

from admin import look
from admin.access import Staff
from admin.services import Services
from core.errors import Conflict
from core.store import content

MAX_WELCOME_CHARS, MAX_SUGGESTIONS, MAX_SUGGESTION_CHARS, MAX_HELP_CHARS = 200, 5, 30, 600  # one message of WeChat's
NAMES = ("welcome", "suggestions", "help")


class Welcome:
    """The tab; everybody may look, editors may change."""

    def __init__(self, services: Services, tab: gr.Tab) -> None:
        self._services = services
        on = services.access.on
        before = gr.State({})  # the options as they were when they were loaded
        with gr.Row():
            with gr.Column(scale=3, min_width=320):
                welcome = gr.Textbox(label="欢迎语", lines=3, max_lines=8, max_length=MAX_WELCOME_CHARS)
                about = f"每行一个，最多 {MAX_SUGGESTIONS} 个，每个不超过 {MAX_SUGGESTION_CHARS} 字；用户点一下就发出"
                suggestions = gr.Textbox(label="推荐问题", info=about, lines=4, max_lines=8)
                about = "用户在公众号里发“帮助”时的回复；空着就用自带的说明"
                guide = gr.Textbox(label="帮助", info=about, lines=3, max_lines=12, max_length=MAX_HELP_CHARS)
                save = gr.Button("保存", variant="primary", visible=False)
            with gr.Column(scale=2, min_width=320, elem_classes="side"):
                preview = gr.HTML()
        fields = [welcome, suggestions, guide]
        on(tab.select, self.load, [], [*fields, preview, before, save])
        typed = [welcome.change, suggestions.change]
        on(typed, self.preview, fields[:2], [preview], trigger_mode="always_last")
        on(save.click, self.save, [before, *fields], [before, *fields, preview], role="editor")

    def load(self, who: Staff) -> Any:
        known = self._known()
        may = who.may("editor")
        shown = [gr.update(value=value, interactive=may) for value in _fields(known)]
        return *shown, self._preview(*_fields(known)[:2]), known, gr.update(visible=may)

    def _known(self) -> dict[str, Any]:
        options = self._services.database.read(content.options)
        return {name: options[name] for name in NAMES if name in options}

    def preview(self, who: Staff, welcome: str, suggestions: str) -> str:
        return self._preview(look.typed(welcome), suggestions)

    def save(self, who: Staff, before: dict[str, Any], welcome: str, suggestions: str, guide: str) -> Any:
        welcome, guide, lines = (
            look.typed(welcome),
            look.typed(guide),
            _lines(suggestions),
        )
        told = ""
        if not welcome:
            told = "欢迎语是空的。"
        elif len(welcome) > MAX_WELCOME_CHARS or len(guide) > MAX_HELP_CHARS:
            told = f"欢迎语最多 {MAX_WELCOME_CHARS} 字，帮助最多 {MAX_HELP_CHARS} 字。"
        elif len(lines) > MAX_SUGGESTIONS or any(len(line) > MAX_SUGGESTION_CHARS for line in lines):
            told = f"推荐问题最多 {MAX_SUGGESTIONS} 个，每个不超过 {MAX_SUGGESTION_CHARS} 字。"
        if told:
            raise gr.Error(told)
        values = {"welcome": welcome, "suggestions": lines, "help": guide}
        detail = f"{welcome}｜{'｜'.join(lines)}"
        try:
            self._services.access.change(
                who, "改欢迎语", "欢迎语和推荐问题", content.change_options, values, before, detail=detail
            )
        except Conflict:
            told = "别人刚刚改过，所以没有保存。请复制下你写的内容，切到别的标签页再回来，看过后再改。"
            raise gr.Error(told) from None
        gr.Info("已保存，几秒内在小程序和公众号生效。")
        return values, *_fields(values), self._preview(welcome, suggestions)

    def _preview(self, welcome: str, suggestions: str) -> str:
        """As the mini-program and the official account show it."""
        lines = _lines(suggestions)
        chips = "".join(f"<span>{look.esc(line)}</span>" for line in lines)
        links = "".join(f"<br><u>{look.esc(line)}</u>" for line in lines)
        brand = look.esc(self._services.settings.brand_name)
        return (
            f'<div class="caption">小程序里</div><div class="phone"><b>{brand}</b><p>{look.esc(welcome)}</p>'
            f'<div class="chips">{chips}</div></div>'
            f'<div class="caption">关注公众号时</div><div class="phone"><div class="push">{look.esc(welcome)}'
            f"{'<br>' + links if links else ''}</div></div>"
        )


def _fields(options: dict[str, Any]) -> tuple[str, str, str]:
    suggestions = options.get("suggestions") or []
    lines = "\n".join(str(one) for one in suggestions) if isinstance(suggestions, list) else ""
    return str(options.get("welcome") or ""), lines, str(options.get("help") or "")


def _lines(suggestions: str | None) -> list[str]:
    return list(dict.fromkeys(line.strip() for line in look.typed(suggestions).splitlines() if line.strip()))

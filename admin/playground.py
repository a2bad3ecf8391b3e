"""试聊: try the live prompt, or any draft of one, or two side by side."""

from typing import Any

import gradio as gr

from admin.access import Staff
from admin.lane import OWN, Lane
from admin.services import Services
from core.store import content

TAB = "playground"


class Playground:
    """The tab. By `show_version`, `show_draft` and `show_question` other tabs bring something here."""

    def __init__(self, services: Services, page: gr.Blocks, tabs: gr.Tabs) -> None:
        self._services = services
        on = services.access.on
        self.tabs = tabs
        with gr.Row(elem_id="ask-more"):
            both = gr.Checkbox(label="两个草稿对比", value=False, container=False, min_width=150)
            fresh = gr.Button("新对话", size="sm", min_width=88)
        with gr.Row(elem_id="lanes"):
            self.lanes = [Lane(services, name) for name in "AB"]
        with gr.Row(elem_id="ask-row"):
            self.question = gr.Textbox(
                show_label=False,
                container=False,
                placeholder="输入问题，回车发送",
                lines=1,
                max_lines=6,
                scale=6,
                elem_id="question",
            )
            send = gr.Button("发送", variant="primary", scale=1, min_width=88)
            stop = gr.Button("停止", scale=1, min_width=88)

        with gr.Row(elem_id="keep-row"):
            note = gr.Textbox(show_label=False, placeholder="备注：改了什么", max_lines=1, container=False, scale=3)
            keep = gr.Button("把草稿 A 存为新版本", size="sm", min_width=160)

        one, other = self.lanes
        self.shown = [tabs, one.version, one.prompt, one.facts]
        for lane in self.lanes:
            on(page.load, self._load(lane), outputs=[lane.version, lane.prompt, lane.facts])
            on(fresh.click, lane.clear, outputs=lane.outputs, role="editor")
            on(stop.click, lane.stop, [lane.talk], role="editor")
        on(both.change, self.compare, [both, *one.dials], [other.box, *other.dials], role="editor")
        # The question leaves its box at once; both lanes work on a copy of it.
        copy = gr.State("")
        for trigger in (self.question.submit, send.click):
            asked = on(trigger, self.take, [self.question], [self.question, copy], role="editor")
            on(asked.success, one.ask, [copy, one.talk, *one.dials], one.outputs, role="editor")
            on(asked.success, self.ask_other, [both, copy, other.talk, *other.dials], other.outputs, role="editor")
        saved = [one.version, other.version, note]
        on(keep.click, self.keep, [one.version, one.prompt, one.facts, note], saved, role="editor")

    def _load(self, lane: Lane) -> Any:
        def load(who: Staff) -> Any:
            return lane.choices(who) if who.may("editor") else (gr.skip(),) * 3

        return load

    def show_version(self, who: Staff, number: int | None) -> Any:
        """Open this tab with a version as draft A; for `self.shown`."""
        if number is None:
            raise gr.Error("请先选一个版本。")
        row = self._services.database.read(content.prompt_version, number)
        choices = self.lanes[0].choices(who)[0]["choices"]
        return gr.update(selected=TAB), gr.update(choices=choices, value=str(row.id)), row.text, row.facts

    def show_draft(self, who: Staff, text: str, facts: str) -> Any:
        """Open this tab with these texts as draft A; for `self.shown`."""
        return gr.update(selected=TAB), OWN, text, facts

    def show_question(self, who: Staff, question: str) -> Any:
        """Open this tab with a question to be sent; for `[self.tabs, self.question]`."""
        return gr.update(selected=TAB), question

    def take(self, who: Staff, question: str) -> Any:
        if not question.strip():
            raise gr.Error("请先输入问题。")
        return "", question

    def compare(self, who: Staff, both: bool, *dials: Any) -> Any:
        """Show the second lane, beginning as a copy of the first."""
        return gr.update(visible=both), *(dials if both else (gr.skip(),) * len(dials))

    def ask_other(self, who: Staff, both: bool, *rest: Any) -> Any:
        if both:
            yield from self.lanes[1].ask(who, *rest)

    def keep(self, who: Staff, version: str | None, prompt: str, facts: str, note: str) -> Any:
        """Store the draft as a version; it is published under 提示词."""
        if not prompt.strip():
            raise gr.Error("系统提示词是空的。")
        if len(facts) > content.MAX_FACTS_CHARS:
            raise gr.Error(f"品牌资料最多 {content.MAX_FACTS_CHARS} 个字。")
        change = self._services.access.change
        number = change(who, "写提示词", "来自试聊", content.add_prompt, prompt, facts, note.strip(), who.name)
        gr.Info(f"已存为第 {number} 版，到“提示词”里发布后才会上线。")
        choices = self.lanes[0].choices(who)[0]["choices"]
        return gr.update(choices=choices, value=str(number)), gr.update(choices=choices), ""

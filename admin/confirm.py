"""A button that says what it is about to do, and does it once that is confirmed."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import gradio as gr

from admin.access import Access, Role, Staff


class Confirm:
    """Built where the question is to appear.

    `question(who, *inputs)` is HTML, or raises what speaks against it; `act(who, *inputs)` returns the outputs as a
    list. It is given what the inputs were when the question was asked: what is confirmed is what is done.
    """

    def __init__(
        self,
        access: Access,
        button: gr.Button,
        question: Callable[..., str],
        act: Callable[..., Sequence[Any]],
        inputs: Sequence[Any],
        outputs: Sequence[Any],
        *,
        role: Role,
        yes: str = "确认",
        variant: Literal["primary", "stop"] = "stop",
    ) -> None:
        asked = gr.State(None)
        with gr.Column(visible=False, elem_classes="confirm") as box:
            text = gr.HTML()
            with gr.Row():
                self.yes = gr.Button(yes, variant=variant)
                self.no = gr.Button("取消")

        def ask(who: Staff, *values: Any) -> Any:
            return gr.update(visible=True), question(who, *values), list(values)

        def do(who: Staff, values: list[Any] | None) -> Any:
            if values is None:  # clicked twice
                return (gr.skip(),) * (2 + len(outputs))
            return gr.update(visible=False), None, *act(who, *values)

        def leave(who: Staff) -> Any:
            return gr.update(visible=False), None

        for step, name in ((ask, "asked"), (do, "done"), (leave, "left")):
            step.__qualname__ = f"{act.__qualname__}_{name}"  # what the log and the tests call it
        access.on(button.click, ask, inputs, [box, text, asked], role=role)
        access.on(self.yes.click, do, [asked], [box, asked, *outputs], role=role)
        access.on(self.no.click, leave, outputs=[box, asked], role=role)

"""Lists that are read page by page, the newest first."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import gradio as gr

Q = TypeVar("Q")


@dataclass(frozen=True)
class Page(Generic[Q]):
    """A page of what is wanted."""

    wanted: Q
    before: tuple[int, ...] = ()  # the last id of each page before this one
    last: int | None = None  # and of this one

    @property
    def below(self) -> int | None:
        """Only what is older than this id is on the page."""
        return self.before[-1] if self.before else None

    def newer(self) -> "Page[Q]":
        return replace(self, before=self.before[:-1])

    def older(self) -> "Page[Q]":
        return replace(self, before=(*self.before, self.last)) if self.last is not None else self


class Desk(Generic[Q]):
    """What one browser has before it, in a `gr.State`. Of two events that overlap, the later one is shown."""

    def __init__(self, wanted: Q) -> None:
        self.page = Page(wanted)
        self._latest: object = None

    def show(self, page: Page[Q], draw: Callable[[Page[Q]], tuple[int | None, list[Any]]]) -> list[Any]:
        """The outputs that `draw` returns beside the last id of the page; nothing where it was overtaken."""
        self._latest = mine = object()
        self.page = page  # from here on: whatever draws the list anew meanwhile draws what is wanted now
        last, outputs = draw(page)
        if self._latest is not mine:
            return [gr.skip()] * len(outputs)
        self.page = replace(page, last=last)
        return outputs

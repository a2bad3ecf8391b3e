"""Which of staff's replies a text calls for."""

from collections.abc import Sequence
from typing import Any


def keyword_reply(replies: Sequence[Any], text: str) -> str | None:
    """What answers a text in place of the model, if anything does."""
    row = keyword_row(replies, text)
    return None if row is None else str(row.reply)


def keyword_row(replies: Sequence[Any], text: str) -> Any | None:
    """The reply with the highest priority that matches; of two alike, the exact one."""
    said = text.strip().casefold()
    matching = [row for row in replies if _matches(row, said)]
    return min(matching, key=lambda row: (-row.priority, row.match != "exact", row.id), default=None)


def _matches(row: Any, said: str) -> bool:
    keyword = row.keyword.strip().casefold()
    if not keyword:
        return False
    return keyword == said if row.match == "exact" else keyword in said

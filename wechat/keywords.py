"""Which of staff's replies a text calls for."""

from collections.abc import Sequence
from typing import Any


def keyword_reply(replies: Sequence[Any], text: str) -> str | None:
    """The reply with the highest priority that matches; of two alike, the exact one."""
    said = text.strip().casefold()
    matching = [row for row in replies if _matches(row, said)]
    if not matching:
        return None
    best = min(matching, key=lambda row: (-row.priority, row.match != "exact", row.id))
    return str(best.reply)


def _matches(row: Any, said: str) -> bool:
    keyword = row.keyword.strip().casefold()
    if not keyword:
        return False
    return keyword == said if row.match == "exact" else keyword in said

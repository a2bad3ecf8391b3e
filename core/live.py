"""What staff may change while we run, as this process knows it now; the tick keeps it fresh."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from core.database import Database
from core.moderation import WordFilter
from core.store import content

FACTS = "\n\n以下是这个品牌的资料：\n"


@dataclass(frozen=True, slots=True)
class Prompt:
    """The system prompt that is live on a channel, and the version it is."""

    version: int | None
    text: str


def with_facts(text: str, facts: str) -> str:
    """A system prompt with what is told of the brand."""
    return text + (FACTS + facts if facts.strip() else "")


class LiveContent:
    """Words, prompts, keyword replies and options; read again when their revision has moved."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._seen: dict[str, int] = {}
        self.words = WordFilter(())
        self.prompts: dict[str, Prompt] = {}
        self.replies: tuple[Any, ...] = ()
        self.options: dict[str, Any] = {}

    def prompt(self, channel: str) -> Prompt:
        """The live prompt of a channel; of the mini-program where a channel has none of its own."""
        return self.prompts.get(channel) or self.prompts.get("miniprogram") or Prompt(None, "")

    def refresh(self) -> None:
        """Read what has changed since the last time."""
        now = self._database.read(content.revisions)
        for name in [name for name, number in now.items() if self._seen.get(name) != number]:
            self._database.read(getattr(self, f"_read_{name}"))
            self._seen[name] = now[name]

    def _read_words(self, connection: Connection) -> None:
        self.words = self.words.updated(content.words(connection))

    def _read_prompts(self, connection: Connection) -> None:
        self.prompts = {
            channel: Prompt(row.id, with_facts(row.text, row.facts))
            for channel, row in content.live_prompts(connection).items()
        }

    def _read_replies(self, connection: Connection) -> None:
        self.replies = tuple(content.keyword_replies(connection))

    def _read_options(self, connection: Connection) -> None:
        self.options = content.options(connection)

"""ChatEngine: one question, the same whoever is asking.

    check ▸ store ▸ (a writer:) trim ▸ ask ▸ guard ▸ keep

`ask` refuses before anything is stored, or returns at once an answer that is being written (`core/answers.py`).
"""

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import Connection

from core import logs
from core.answers import LiveAnswer
from core.database import Database
from core.errors import ContentBlocked, EmptyQuestion, InvalidField, NotRenewable, QuestionTooLong, UserBlocked
from core.live import LiveContent
from core.model import strip_control_tokens
from core.moderation import Hit
from core.screening import NoScreening, Screening
from core.settings import Settings
from core.store import complaints, conversations, erasure, turns, users
from core.store.turns import Options, Question
from core.store.users import Quota
from core.tables import new_id
from core.writers import Writers

MAX_MESSAGES = 100
Accept = Callable[[Connection, Question, Quota, int | None], Any]
STOP_SECONDS = 2.0  # how long a stop waits to be carried out, maybe by another process


class ChatEngine:
    """What the entry points talk to."""

    def __init__(
        self,
        database: Database,
        writers: Writers,
        live: LiveContent,
        settings: Settings,
        screening: Screening | None = None,
    ) -> None:
        self.database = database
        self.live = live
        self.quota = Quota(settings.user_per_minute, settings.user_per_day, settings.timezone)
        self._writers = writers
        self._settings = settings
        self._screening = screening or NoScreening()

    def ask(
        self,
        user_id: int,
        question: str,
        *,
        channel: str,
        conversation_id: int | None = None,
        max_tokens: int | None = None,
        thinking: bool = False,
        options: Options | None = None,
        request_key: str | None = None,
        since_ms: int | None = None,
        accept: Accept = turns.accept,
    ) -> LiveAnswer:
        """Ask in a conversation whose history we hold; without `conversation_id` a new one begins.

        With `since_ms` the user's latest conversation on the channel goes on, unless it ended before that time.
        The same `request_key` again gives the same answer. `options` say all about how the model is asked, for
        those who try something out. `accept` is what stores the question, in one
        transaction, where an edge has more to store with it. Raises InvalidMessage, ContentBlocked, NotFound,
        Conflict, UserBlocked, Busy or QuotaExceeded, with nothing stored.
        """
        text, hits = self._checked(question)
        options = options or self._options(max_tokens, thinking)
        return self._accept(
            Question(
                id=new_id(),
                user_id=user_id,
                channel=channel,
                text=text,
                options=options,
                conversation_id=conversation_id or new_id(),
                new_conversation=conversation_id is None,
                continue_since=since_ms,
                request_key=request_key,
                request_hash=_digest(question, conversation_id, max_tokens, thinking) if request_key else None,
                hits=hits,
            ),
            accept,
        )

    def regenerate(
        self, user_id: int, turn_id: int, *, request_key: str | None = None, accept: Accept = turns.accept
    ) -> LiveAnswer:
        """A new answer to the last question of a conversation; the old one stays in the log, out of the history.

        It counts as a question does. Raises NotFound, NotRenewable (it is not the last one, or not finished), and
        what `ask` raises.
        """
        old = self.database.read(turns.get_of_user, turn_id, user_id)
        if old.conversation_id is None:
            raise NotRenewable("the client holds the history")
        text, hits = self._checked(old.question)
        return self._accept(
            Question(
                id=new_id(),
                user_id=user_id,
                channel=old.channel,
                text=text,
                options=Options.loads(old.options),
                conversation_id=old.conversation_id,
                replaces=turn_id,
                request_key=request_key,
                request_hash=_digest("regenerate", turn_id) if request_key else None,
                hits=hits,
            ),
            accept,
        )

    def complete(
        self, user_id: int, messages: Sequence[Mapping[str, str]], *, channel: str, max_tokens: int | None = None
    ) -> LiveAnswer:
        """Ask with a history the client holds: messages of `user` and `assistant`, the last a user's.

        Each of them is checked as a question is. Raises as `ask` does.
        """
        if not messages or len(messages) > MAX_MESSAGES:
            raise InvalidField("messages", f"between 1 and {MAX_MESSAGES} of them")
        if messages[-1]["role"] != "user" or any(one["role"] not in ("user", "assistant") for one in messages):
            raise InvalidField("messages", "of user and assistant, the last a user's")
        cleaned = [(one["role"], self._cleaned(one["content"], role=one["role"])) for one in messages]  # all, first
        *earlier, (_, question) = cleaned
        hits = [self._filtered(text) for _, text in cleaned][-1]
        return self._accept(
            Question(
                id=new_id(),
                user_id=user_id,
                channel=channel,
                text=question,
                options=self._options(max_tokens, False),
                context=[{"role": role, "content": text} for role, text in earlier if text],
                hits=hits,
            )
        )

    def find(self, user_id: int, turn_id: int) -> LiveAnswer:
        """An answer of this user's, wherever it is written; raises NotFound."""
        return self._writers.answers.of(self.database.read(turns.get_of_user, turn_id, user_id))

    def answer_of(self, turn: Any) -> LiveAnswer:
        """The answer of a turn's row, wherever it is written."""
        return self._writers.answers.of(turn)

    def stop(self, user_id: int, turn_id: int) -> LiveAnswer:
        """Stop an answer of this user's and the model with it; what was written so far stays. Raises NotFound."""
        answer = self.find(user_id, turn_id)
        if not answer.final:
            self._writers.stop(turn_id)
            answer.wait_until_final(STOP_SECONDS)
        return answer

    def abandon(self, turn_id: int) -> None:
        """Leave off writing an answer whose turn has ended without us (its user was erased)."""
        self._writers.stop(turn_id)

    def erase(self, user_id: int) -> None:
        """Erase a user: what they wrote and who they are (`core/store/erasure.py`); nothing is written afterwards."""
        for turn_id in self.database.read(conversations.open_turns, user_id):
            self._writers.stop(turn_id)
        give_up = time.monotonic() + STOP_SECONDS
        while self.database.read(conversations.open_turns, user_id) and time.monotonic() < give_up:
            time.sleep(0.05)
        while self.database.write_aside(lambda connection: erasure.empty_some(connection, user_id)):
            pass
        for turn_id in self.database.write(erasure.erase, user_id, order=user_id):
            self.abandon(turn_id)

    def forget(self, user_id: int, conversation_id: int | None = None) -> None:
        """Delete a conversation of this user's (or all), and stop what is being written in it. Raises NotFound."""
        if conversation_id is None:
            self.database.write(conversations.remove_all, user_id, order=user_id)
        else:
            self.database.write(conversations.remove, user_id, conversation_id, order=user_id)
        for turn_id in self.database.read(conversations.open_turns, user_id, conversation_id):
            self._writers.stop(turn_id)

    def _accept(self, question: Question, accept: Accept = turns.accept) -> LiveAnswer:
        if self._screening.covers(question.channel):
            return self._accept_screened(question, accept)
        with self._writers.slot() as writer:
            turn = self.database.write(accept, question, self.quota, writer, order=question.user_id)
        logs.bind(turn_id=str(turn.id))
        return self._writers.accepted(turn)

    def _accept_screened(self, question: Question, accept: Accept) -> LiveAnswer:
        """The same, once the check of somebody else has passed; raises ContentBlocked as well."""
        user = self.database.read(users.get, question.user_id)
        if user.blocked is not None:
            raise UserBlocked("blocked by staff")
        users.check_quota(user, self.quota)  # before it costs a call of the check
        told = [one["content"] for one in question.context or ()]
        verdict = self._screening.judge(question.user_id, "\n".join([*told, question.text]))
        if verdict == "risky":
            raise ContentBlocked("screening")
        with self._writers.slot() as writer:
            turn = self.database.write(accept, question, self.quota, writer, order=question.user_id)
        logs.bind(turn_id=str(turn.id))
        answer = self._writers.accepted(turn)
        if verdict == "review":
            timezone = self._settings.timezone
            self.database.write(complaints.ask_for_review, turn.id, "内容安全接口建议复核问题", timezone)
        return answer

    def _checked(self, text: str) -> tuple[str, list[dict[str, Any]]]:
        """The question as the model may see it, and what the word filter found in it."""
        text = self._cleaned(text)
        return text, self._filtered(text)

    def _cleaned(self, text: str, role: str = "user") -> str:
        """The text as the model may see it; raises InvalidMessage."""
        text = strip_control_tokens(text.replace("\0", "")).strip()  # PostgreSQL cannot store a NUL
        if role == "user" and not text:
            raise EmptyQuestion("nothing was asked")
        if role == "user" and len(text) > self._settings.max_question_chars:
            raise QuestionTooLong(self._settings.max_question_chars)
        return text

    def _filtered(self, text: str) -> list[dict[str, Any]]:
        """What the word filter found; raises ContentBlocked."""
        return [_as_record(hit) for hit in self.live.words.check(text)]

    def _options(self, max_tokens: int | None, thinking: bool) -> Options:
        if max_tokens is not None and not 1 <= max_tokens <= self._settings.max_tokens_limit:
            raise InvalidField("max_tokens", f"from 1 to {self._settings.max_tokens_limit}")
        return Options(max_tokens or self._settings.max_tokens, thinking)


def _as_record(hit: Hit) -> dict[str, Any]:
    return {"word": hit.word, "action": hit.action, "in": "question"}


def _digest(*body: object) -> str:
    return hashlib.sha256(orjson.dumps(body)).hexdigest()

"""What can go wrong with a question, as one small tree. Edges translate it once.

    ChatError
    ├── InvalidMessage          the request makes no sense as it is
    │   ├── InvalidField        one field of it, which is named
    │   ├── NotJson             its body cannot be read at all
    │   ├── EmptyQuestion       nothing was asked
    │   ├── QuestionTooLong     more characters than a question may have
    │   └── UnusableAudio       not a recording we can read
    ├── Unauthorized            no session token, or one that is not valid (any more)
    │   └── InvalidCode         the code of wx.login was used, is too old, or made up
    ├── UserBlocked             staff have blocked this user
    ├── NotFound                there is no such thing, or it belongs to somebody else
    ├── Conflict                the same client_request_id with another body
    │   ├── NotRenewable        not the last answer of its conversation, or not finished
    │   └── LastAdmin           somebody has to manage the accounts of staff
    ├── ContentBlocked          moderation refuses the question, or ended the answer
    ├── QuotaExceeded           the user's questions of this minute or day are used up
    ├── NotConfigured           the server has not been given what this needs
    ├── Busy                    too many of this user's questions wait already
    └── ModelError              the model sent an unusable answer
        ├── ModelTimeout        it took too long
        ├── ModelUnavailable    it cannot be reached, or is loading or overloaded
        └── ContextOverflow     the prompt is longer than its context

`code` is stable and visible to clients. HTTP statuses and Chinese sentences belong to the edges.
"""

from typing import ClassVar


class ChatError(Exception):
    """Base of everything the engine refuses or fails with."""

    code: ClassVar[str] = "internal"


class InvalidMessage(ChatError):
    code = "invalid_message"


class InvalidField(InvalidMessage):
    """One `field` of the request is missing or wrong; `why` is for the log."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"{field}: {why}")
        self.field = field


class NotJson(InvalidMessage):
    pass


class EmptyQuestion(InvalidMessage):
    pass


class QuestionTooLong(InvalidMessage):
    """A question may have `limit` characters."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"more than {limit} characters")
        self.limit = limit


class UnusableAudio(InvalidMessage):
    pass


class Unauthorized(ChatError):
    code = "unauthorized"


class InvalidCode(Unauthorized):
    """The platform does not take the code of `wx.login`: it was used, is too old, or made up."""


class UserBlocked(ChatError):
    code = "user_blocked"


class NotFound(ChatError):
    code = "not_found"


class Conflict(ChatError):
    code = "conflict"


class NotRenewable(Conflict):
    pass


class LastAdmin(Conflict):
    pass


class ContentBlocked(ChatError):
    code = "content_blocked"


class QuotaExceeded(ChatError):
    """The `limit` questions of a `window` ("minute" or "day") are used up for `retry_after` seconds."""

    code = "quota_exceeded"

    def __init__(self, window: str, limit: int, retry_after: int) -> None:
        super().__init__(f"{limit} questions per {window} used up, {retry_after} s to go")
        self.window = window
        self.limit = limit
        self.retry_after = retry_after


class NotConfigured(ChatError):
    code = "not_configured"


class Busy(ChatError):
    code = "busy"


class ModelError(ChatError):
    code = "model_error"


class ModelTimeout(ModelError):
    code = "model_timeout"


class ModelUnavailable(ModelError):
    code = "model_unavailable"


class ContextOverflow(ModelError):
    """The prompt had `prompt_tokens` tokens where `context_tokens` fit (0 where the model did not say)."""

    def __init__(self, message: str, prompt_tokens: int = 0, context_tokens: int = 0) -> None:
        super().__init__(message)
        self.prompt_tokens = prompt_tokens
        self.context_tokens = context_tokens


def error_of(code: str | None) -> type[ChatError]:
    """The class whose `code` this is: how an error stored with a turn becomes an error again."""
    return _BY_CODE.get(code or "", ModelError)


def _tree(cls: type[ChatError]) -> list[type[ChatError]]:
    return [cls, *(kind for child in cls.__subclasses__() for kind in _tree(child))]


_BY_CODE = {kind.code: kind for kind in reversed(_tree(ChatError))}  # of those that share a code, the widest

"""Who may do what: the check inside every handler, and the log of what staff change.

Gradio's `api_name=False` hides a handler and protects nothing: a request written by hand runs it all the same. So
every event of the console is wired by `Access.on`, which asks for the account and its role first, turns refusals into
sentences and logs bugs with their traceback.
"""

import inspect
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeVar

import gradio as gr
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from starlette.requests import HTTPConnection

from admin.gate import client_address
from admin.wording import AWAY, BUG, FORBIDDEN, FULL, sentence
from core import roles
from core.database import Database, away, unwritable
from core.errors import ChatError, Unauthorized
from core.settings import Settings
from core.store import staff

log = logging.getLogger(__name__)

R = TypeVar("R")
Role = Literal["viewer", "editor", "admin"]


@dataclass(frozen=True)
class Staff:
    """The account that asks, as it is at this moment."""

    id: int
    name: str
    role: str
    address: str

    def may(self, role: Role) -> bool:
        """Whether the account has this role, or a higher one."""
        return roles.may(self.role, role)


class Access:
    """`on` wires an event; `change` writes something and the operation log in one transaction."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._proxies = settings.trusted_proxies

    def staff(self, request: gr.Request) -> Staff:
        """Who asks; raises Unauthorized where the account is gone."""
        row = self._database.read(staff.get, request.username or "")
        if row is None:
            raise Unauthorized("no such account")
        connection = request.request
        address = client_address(connection, self._proxies) if isinstance(connection, HTTPConnection) else ""
        return Staff(row.id, row.name, row.role, address)

    def on(
        self,
        trigger: Callable[..., Any] | Sequence[Callable[..., Any]],
        handler: Callable[..., Any],
        inputs: Sequence[Any] = (),
        outputs: Sequence[Any] = (),
        *,
        role: Role = "viewer",
        event: bool = False,
        **options: Any,
    ) -> Any:
        """Call `handler(staff, *inputs)` at an event (`button.click`), if the account has the role.

        Of several events with one handler, name all at once: wired one by one, an earlier result may overtake a
        later one, and stays on the page.

        With `event`, the second argument is Gradio's event data. A handler may be a generator. `options` go to
        Gradio.
        """
        options = {"show_progress": "hidden"} | options
        guarded = self._guarded(handler, role, event)
        guarded.__name__ = f"{role}__{handler.__qualname__.replace('.', '_')}"  # tests find every handler by it
        if not callable(trigger):
            trigger = partial(gr.on, list(trigger))
        return trigger(guarded, inputs=list(inputs), outputs=list(outputs), api_visibility="private", **options)

    def change(
        self,
        who: Staff,
        action: str,
        target: str,
        work: Callable[..., R],
        *args: Any,
        detail: str | Callable[[R], str] = "",
        **kwargs: Any,
    ) -> R:
        """Run `work(connection, …)` and note in the operation log that `who` did it, both or neither.

        A `detail` that is known only afterwards is a function of the result.
        """

        def both(connection: Connection) -> R:
            result = work(connection, *args, **kwargs)
            told = detail if isinstance(detail, str) else detail(result)
            staff.log(connection, who.name, who.address, action, target[:200], told)
            return result

        return self._database.write(both)

    def note(self, who: Staff, action: str, target: str, detail: str = "") -> None:
        """Note in the operation log what `who` did that changes nothing."""
        self._database.write(staff.log, who.name, who.address, action, target[:200], detail)

    def _guarded(self, handler: Callable[..., Any], role: Role, event: bool) -> Callable[..., Any]:
        def arguments(request: gr.Request, data: gr.EventData, values: tuple[Any, ...]) -> list[Any]:
            who = self.staff(request)
            if not who.may(role):
                raise gr.Error(FORBIDDEN)
            return [who, data, *values] if event else [who, *values]

        if inspect.isgeneratorfunction(handler):

            def stream(request: gr.Request, data: gr.EventData, *values: Any) -> Iterator[Any]:
                try:
                    yield from handler(*arguments(request, data, values))
                except Exception as error:
                    raise _told(error, handler) from None

            return stream

        def run(request: gr.Request, data: gr.EventData, *values: Any) -> Any:
            try:
                return handler(*arguments(request, data, values))
            except Exception as error:
                raise _told(error, handler) from None

        return run


def _told(error: Exception, handler: Callable[..., Any]) -> gr.Error:
    """What Gradio shows for it: a sentence; of a bug only that there is one, the rest is in the log."""
    if isinstance(error, gr.Error):  # a handler's own sentence
        return gr.Error(str(error.message), title="没有完成", print_exception=False)
    if isinstance(error, DBAPIError) and (away(error) or unwritable(error)):
        log.error("the database does not answer: %s", error.orig)
        return gr.Error(FULL if unwritable(error) else AWAY, title="没有完成", print_exception=False)
    if isinstance(error, ChatError):
        return gr.Error(sentence(error), title="没有完成", print_exception=False)
    log.error("%s failed by a bug of ours", handler.__qualname__, exc_info=error)
    return gr.Error(BUG, title="出错了", print_exception=False)

"""Who sent a request."""

from flask import current_app, request

from core.database import Database
from core.errors import Unauthorized, UserBlocked
from core.store import users

ADDRESS = "address"  # stands where an appid would, for users known by nothing but their address


def current_user(database: Database) -> int:
    """The user of the request's session token; raises Unauthorized, or UserBlocked where staff blocked them."""
    caller = database.read(users.caller, bearer_token())
    if caller.blocked is not None:
        raise UserBlocked(caller.blocked)
    return caller.user_id


def bearer_token() -> str:
    """The session token of the request; raises Unauthorized."""
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "bearer" or not token.strip():
        raise Unauthorized("no session token")
    return token.strip()


def address_user(database: Database) -> int:
    """The user who stands for the client's address, where /chat is open to everyone."""
    address = request.remote_addr or "unknown"
    known: dict[str, int] = current_app.extensions.setdefault("address_users", {})
    if address not in known:  # an address never changes its user, so this needs no other process
        known[address] = database.write(users.sign_in, ADDRESS, address)
    return known[address]

"""Who sent a request."""

import re
from ipaddress import IPv6Address, ip_address, ip_network

from flask import current_app, request

from core.database import Database
from core.errors import InvalidField, Unauthorized, UserBlocked
from core.store import users
from core.store.users import Caller

ADDRESS = "address"  # stands where an appid would, for users known by nothing but their address
CLOUD = "cloud_appid"  # in the app's extensions: set where WeChat cloud hosting vouches for its headers
CLOUD_APP = "cloud"  # stands where an appid would, where none is configured
_WECHAT_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")


def current_user(database: Database, *, even_blocked: bool = False) -> int:
    """Who sent the request; raises Unauthorized, or UserBlocked where staff blocked them.

    A session token tells, or on WeChat cloud hosting (WECHAT_CLOUD=1) the X-WX-OPENID header.
    """
    caller = _cloud_caller(database) if comes_from_cloud() else database.read(users.caller, bearer_token())
    if caller.blocked is not None and not even_blocked:
        raise UserBlocked(caller.blocked)
    return caller.user_id


def comes_from_cloud() -> bool:
    """Whether cloud hosting tells us who sent the request."""
    return current_app.extensions.get(CLOUD) is not None and "X-WX-OPENID" in request.headers


def _cloud_caller(database: Database) -> Caller:
    """Raises InvalidMessage: two headers arrive as one with a comma, and only one of them can be WeChat's."""
    appid = current_app.extensions[CLOUD]
    openid, unionid = request.headers["X-WX-OPENID"], request.headers.get("X-WX-UNIONID") or None
    if not all(_WECHAT_NAME.fullmatch(name) for name in (openid, unionid or openid)):
        raise InvalidField("X-WX-OPENID", "headers that WeChat did not send")
    caller = database.read(users.caller_by_identity, appid, openid, unionid)
    if caller is None:
        database.write(users.sign_in, appid, openid, unionid)
        caller = database.read(users.caller_by_identity, appid, openid, unionid)
    if caller is None:
        raise Unauthorized("erased a moment ago")
    return caller


def bearer_token() -> str:
    """The session token of the request; raises Unauthorized."""
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "bearer" or not token.strip():
        raise Unauthorized("no session token")
    return token.strip()


def address_user(database: Database) -> int:
    """The user who stands for the client's address, where /chat is open to everyone."""
    address = client_address()
    known: dict[str, int] = current_app.extensions.setdefault("address_users", {})
    if address not in known:  # an address never changes its user, so this needs no other process
        known[address] = database.write(users.sign_in, ADDRESS, address)
    return known[address]


def client_address() -> str:
    """By what address a client is counted; of IPv6 the first half, for the second is theirs to choose."""
    written = (request.remote_addr or "").partition("%")[0]
    try:
        address = ip_address(written)
    except ValueError:
        return "unknown"
    if not isinstance(address, IPv6Address):
        return str(address)
    return str(address.ipv4_mapped or ip_network((address, 64), strict=False))

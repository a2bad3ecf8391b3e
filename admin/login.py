"""Log-in, log-out and change of password, on pages of our own.

Guessing is slow: failures are counted per name and per address in the database, and each further one has to wait
longer. A name that does not exist costs the same time and is told in the same words.
"""

import asyncio
import hashlib
from functools import partial
from pathlib import Path
from urllib.parse import parse_qsl

from jinja2 import Environment, FileSystemLoader
from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from admin import look
from admin.gate import COOKIE, client_address, linked, session_token
from core import passwords
from core.database import Database
from core.settings import Settings
from core.store import staff

SESSION_SECONDS = 12 * 3600
MAX_FORM, MAX_PASSWORD = 4096, 1024
WRONG = "账号或密码不对。"
AT_ONCE = 2  # each check of a password takes 64 MB and a tenth of a second


class Login:
    """The routes of everything about a log-in."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings
        self._checks = asyncio.Semaphore(AT_ONCE)
        self._templates = Environment(loader=FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True)
        self.routes = [
            Route("/login", self.page, methods=["GET"]),
            Route("/login", self.log_in, methods=["POST"]),
            Route("/logout", self.log_out, methods=["POST"]),
            Route("/password", self.password_page, methods=["GET"]),
            Route("/password", self.change_password, methods=["POST"]),
        ]

    async def page(self, request: Request) -> Response:
        changed = "changed" in request.query_params
        return self._show("login.html", notice="密码已修改，请用新密码登录。" if changed else "")

    async def log_in(self, request: Request) -> Response:
        form, address = await _form(request), client_address(request, self._settings.trusted_proxies)
        name = look.storable(form.get("name", "")).strip()[:64]
        keys = _keys(name, address)
        if wait := await asyncio.to_thread(self._database.write, staff.try_password, keys):
            return self._show("login.html", 429, error=f"尝试太频繁，请 {wait} 秒后再试。", name=name)
        account = await asyncio.to_thread(self._database.read, staff.get, name)
        right = await self._right(account.password_hash if account else None, form.get("password", ""))
        if account is None or not right:
            return self._show("login.html", 401, error=WRONG, name=name)

        def enter(connection: Connection) -> str:
            staff.forgive(connection, keys)
            staff.log(connection, account.name, address, "登录", account.name)
            return staff.open_session(connection, account.id, SESSION_SECONDS)

        token = await asyncio.to_thread(self._database.write, enter)
        response = RedirectResponse(f"/{linked(request.query_params)}", 303)
        secure = self._by_https(request)
        response.set_cookie(COOKIE, token, max_age=SESSION_SECONDS, httponly=True, samesite="lax", secure=secure)
        return response

    async def log_out(self, request: Request) -> Response:
        await asyncio.to_thread(self._database.write, staff.close_session, session_token(request.headers))
        return _to_login("/login")

    async def password_page(self, request: Request) -> Response:
        return self._show("password.html", name=request.scope["staff"].name)

    async def change_password(self, request: Request) -> Response:
        form, account = await _form(request), request.scope["staff"]
        address = client_address(request, self._settings.trusted_proxies)
        keys = _keys(account.name, address)
        again = partial(self._show, "password.html", name=account.name)
        new = form.get("new", "")
        if new != form.get("again", ""):
            return again(400, error="两次输入的新密码不一样。")
        if not passwords.MIN_CHARS <= len(new) <= MAX_PASSWORD:
            return again(400, error=f"新密码至少要 {passwords.MIN_CHARS} 个字符。")
        if wait := await asyncio.to_thread(self._database.write, staff.try_password, keys):
            return again(429, error=f"尝试太频繁，请 {wait} 秒后再试。")
        if not await self._right(account.password_hash, form.get("old", "")):
            return again(401, error="原密码不对。")
        async with self._checks:
            fresh = await asyncio.to_thread(passwords.hashed, new)

        def change(connection: Connection) -> None:
            staff.forgive(connection, keys)
            staff.set_password(connection, account.id, fresh)
            staff.log(connection, account.name, address, "修改密码", account.name)

        await asyncio.to_thread(self._database.write, change)
        return _to_login("/login?changed")

    async def _right(self, stored: str | None, password: str) -> bool:
        async with self._checks:
            return await asyncio.to_thread(passwords.right, stored, password[:MAX_PASSWORD])

    def _by_https(self, request: Request) -> bool:
        if self._settings.trusted_proxies and (told := request.headers.get("x-forwarded-proto")):
            return told.rpartition(",")[2].strip() == "https"
        return request.url.scheme == "https"

    def _show(self, template: str, status: int = 200, **values: str) -> Response:
        settings = self._settings
        page, color = self._templates.get_template(template), settings.brand_color
        return HTMLResponse(page.render(brand=settings.brand_name, color=color, ink=look.on(color), **values), status)


def _to_login(url: str) -> Response:
    response = RedirectResponse(url, 303)
    response.delete_cookie(COOKIE)
    return response


def _keys(name: str, address: str) -> list[str]:
    """What failures are counted by. The name is hashed: people type passwords into the wrong field."""
    return ["name:" + hashlib.sha256(name.lower().encode()).hexdigest(), "address:" + address]


async def _form(request: Request) -> dict[str, str]:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM:
            return {}
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))

"""The console's process: log-in pages and gate around Gradio's page, under uvicorn with exactly one worker.

(Gradio's queue is in memory: with two workers nearly half of the events failed.)
"""

import signal
import socket
from collections.abc import Awaitable, Callable

import gradio as gr
import uvicorn
from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from admin import look
from admin.console import build
from admin.gate import Gate
from admin.login import Login
from admin.services import Services
from core.settings import Settings

GOODBYE_SECONDS = 3
BUBBLE = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 48 48">
<rect width="48" height="48" rx="12" fill="{0}"/>
<path d="M24 12c-8.3 0-15 5.1-15 11.4 0 3.6 2.2 6.8 5.6 8.9l-1.2 4.6 5.3-2.6c1.7.4 3.4.6 5.3.6
 8.3 0 15-5.1 15-11.5S32.3 12 24 12z" fill="{1}"/>
<g fill="{0}"><circle cx="17.5" cy="23.5" r="2"/><circle cx="24" cy="23.5" r="2"/>
<circle cx="30.5" cy="23.5" r="2"/></g>
</svg>"""


def create_console(services: Services) -> FastAPI:
    """The ASGI app."""
    settings, database = services.settings, services.database
    # Gradio adds no CORS headers of its own where its parent has some: none are allowed.
    middleware = [Middleware(Gate, database=database), Middleware(CORSMiddleware, allow_origins=[])]
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, middleware=middleware)
    routes = [*Login(database, settings).routes, Route("/health", _health), Route("/brand-logo", _logo(settings))]
    routes.append(services.exports.route)
    app.router.routes += routes
    gr.mount_gradio_app(
        app,
        build(services),
        path="/",
        auth_dependency=_name,
        theme=look.theme(settings.brand_color),
        css=look.style(settings.brand_color),
        js=look.START,
        footer_links=[],
        show_error=False,
        run_history=False,
        ssr_mode=False,
        mcp_server=False,
        pwa=False,
        enable_monitoring=False,
        max_file_size="10mb",
        blocked_paths=[str(settings.data_dir.resolve())],
    )
    return app


def run(app: FastAPI, listener: socket.socket) -> None:
    """Serve until SIGTERM or Ctrl-C; then return, so that the rest of the process can end as it should."""
    # When it is done, uvicorn raises the signal again for whoever was there before it.
    signal.signal(signal.SIGTERM, lambda *_: None)
    config = uvicorn.Config(
        app,
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GOODBYE_SECONDS,
        ws="none",
    )
    uvicorn.Server(config).run(sockets=[listener])


def _name(request: Request) -> str | None:
    """The account the gate found."""
    account = request.scope.get("staff")
    return account.name if account is not None else None


async def _health(request: Request) -> Response:
    return JSONResponse({"status": "ok", "service": "console"})


def _logo(settings: Settings) -> Callable[[Request], Awaitable[Response]]:
    """The brand's own picture, or a bubble in its colour."""

    async def logo(request: Request) -> Response:
        if settings.brand_logo is not None:
            return FileResponse(settings.brand_logo)
        return Response(
            BUBBLE.format(settings.brand_color, look.on(settings.brand_color)), media_type="image/svg+xml"
        )

    return logo

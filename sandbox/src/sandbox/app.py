"""Composition root: read it first."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler as HttpHandler

from sandbox.bot_api import BODY_BYTES, BotApi
from sandbox.clock import Clock
from sandbox.control import Control, answer_errors
from sandbox.faults import Faults
from sandbox.journal import Journal
from sandbox.live import Live
from sandbox.messages import Messages
from sandbox.payments import Payments
from sandbox.profile import Profile
from sandbox.registry import handlers
from sandbox.settings import Settings
from sandbox.store import Store
from sandbox.telegram import Telegram
from sandbox.updates import Updates

_PAGE = Path(__file__).with_name("page")
_PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
_PAGE_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def create_app(settings: Settings, clock: Callable[[], float] | None = None) -> web.Application:
    """The sandbox as an aiohttp application; `clock` gives unix seconds."""
    clock = clock or Clock(settings.clock_offset_file)
    store = Store(settings.state_file)
    live = Live()
    journal = Journal(clock)
    faults = Faults()
    telegram = Telegram(store, live, clock, settings.bot_name)
    updates = Updates(telegram, store, journal, clock)
    messages = Messages(telegram, store, clock)
    payments = Payments(telegram, updates, store, clock)
    profile = Profile(telegram, updates)
    bot_api = BotApi(telegram, messages, faults, journal, handlers(messages, payments, profile))
    updates.perform = bot_api.perform_reply
    control = Control(telegram, updates, messages, payments, faults, journal, live, store, clock)

    app = web.Application(client_max_size=BODY_BYTES, middlewares=[answer_errors])
    app.add_routes([*bot_api.routes(), *control.routes(), *_page_routes()])

    async def run(app: web.Application) -> AsyncIterator[None]:
        await updates.start()
        yield
        store.close()

    async def let_go(app: web.Application) -> None:
        # Long polls, streams and stalled calls end now, or the server would wait for them.
        live.close()
        bot_api.close()
        await updates.close()

    app.cleanup_ctx.append(run)
    app.on_shutdown.append(let_go)
    return app


def _page_routes() -> list[web.RouteDef]:
    def serve(file: Path) -> HttpHandler:
        body, content_type = file.read_bytes(), _PAGE_TYPES[file.suffix]

        async def respond(request: web.Request) -> web.Response:
            return web.Response(body=body, content_type=content_type, charset="utf-8", headers=_PAGE_HEADERS)

        return respond

    files = [file for file in _PAGE.iterdir() if file.suffix in _PAGE_TYPES]
    return [web.get("/" if file.name == "index.html" else f"/page/{file.name}", serve(file)) for file in files]


@asynccontextmanager
async def serving(settings: Settings, clock: Callable[[], float] | None = None) -> AsyncIterator[str]:
    """Serves while the block runs and gives the URL; port 0 takes a free one."""
    runner = web.AppRunner(create_app(settings, clock), access_log=None, shutdown_timeout=2, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, settings.host, settings.port, reuse_address=True).start()
        host, port = runner.addresses[0][:2]
        host = "localhost" if host in ("0.0.0.0", "::") else host  # noqa: S104 (compared, not bound)
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()

"""The webhook: Telegram's updates by HTTP. It answers 200 when the update is durable, and not before."""

import hmac
from collections.abc import Sequence
from urllib.parse import urlsplit

import orjson
import structlog
from aiohttp import web
from pydantic import SecretStr
from servicekit.postgres import STORE_ERRORS

from gateway.inbox import Inbox
from gateway.updates import NotAnUpdate

MAX_BODY_BYTES = 1024 * 1024
_SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105  # a header's name

log = structlog.get_logger()


def webhook_path(url: str) -> str:
    return urlsplit(url).path or "/"


def webhook_app(inbox: Inbox, path: str, secrets: Sequence[SecretStr]) -> web.Application:
    """Takes updates at `path` from whoever knows one of the secrets."""
    accepted = [secret.get_secret_value().encode() for secret in secrets]

    async def receive(request: web.Request) -> web.Response:
        given = request.headers.get(_SECRET_HEADER, "").encode()
        matches = [hmac.compare_digest(given, secret) for secret in accepted]
        if not any(matches):
            return web.Response(status=403, text="the secret token is missing or wrong\n")
        try:
            await inbox.receive([orjson.loads(await request.read())])
        except (orjson.JSONDecodeError, NotAnUpdate):
            return web.Response(status=400, text="the body is not an update\n")
        except STORE_ERRORS as error:
            log.warning("Telegram keeps an update", exc_info=error)
            return web.Response(status=503, text="cannot be kept just now\n", headers={"Retry-After": "1"})
        return web.Response()

    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app.router.add_post(path, receive)
    return app


async def start_webhook(app: web.Application, address: str, port: int) -> web.AppRunner:
    """Serves the app; `cleanup` ends it. A taken port ends the program with a clear line."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=10)
    await runner.setup()
    try:
        await web.TCPSite(runner, address, port).start()
    except OSError:
        raise SystemExit(f"HTTP port {port} on {address} is taken") from None
    return runner

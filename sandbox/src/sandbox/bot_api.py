"""The Bot API over HTTP: requests become calls validated by aiogram's own models, results Telegram's JSON."""

from __future__ import annotations

import asyncio
import email.parser
import email.policy
import logging
import re
from typing import Any, get_args, get_origin

import orjson
from aiogram.methods import TelegramMethod
from aiogram.types import BufferedInputFile, InputFile
from aiohttp import web
from pydantic import BaseModel, ValidationError

from sandbox.errors import ApiError, bad_request
from sandbox.faults import Faults
from sandbox.journal import Journal
from sandbox.messages import UPLOAD_BYTES, Messages
from sandbox.registry import KNOWN, Handler
from sandbox.telegram import Bot, Telegram, encode

BODY_BYTES = UPLOAD_BYTES + (1 << 20)
_TOKEN = re.compile(r"[0-9]{1,16}:[A-Za-z0-9_-]{20,}")
_SECRET_PARAMS = frozenset({"secret_token", "provider_token"})
_EMPTY = {"chat_id": "chat_id is empty", "text": "message text is empty"}
_log = logging.getLogger(__name__)


class BotApi:
    """Serves `/bot<token>/<method>` and `/file/bot<token>/<path>`."""

    def __init__(
        self,
        telegram: Telegram,
        messages: Messages,
        faults: Faults,
        journal: Journal,
        handlers: dict[str, Handler],
    ) -> None:
        self._telegram = telegram
        self._messages = messages
        self._faults = faults
        self._journal = journal
        self._handlers = handlers
        self._closing = asyncio.Event()

    def close(self) -> None:
        """Ends the calls that a fault stalls."""
        self._closing.set()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.route("*", "/bot{token:[^/]*}/{method:[^/]*}", self.call),
            web.get("/file/bot{token:[^/]*}/{path:.+}", self.file),
        ]

    def _bot(self, request: web.Request) -> Bot:
        token = request.match_info["token"]
        if not _TOKEN.fullmatch(token):
            raise ApiError(401, "Unauthorized")
        return self._telegram.bot(token)

    async def call(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["method"].lower()
        try:
            bot = self._bot(request)
            params, uploads = await _read(request)
        except ApiError as error:
            return _refusal(error)
        fault = self._faults.take(bot.id, name, params.get("chat_id"))
        method = KNOWN[name].__api_method__ if name in KNOWN else request.match_info["method"]
        entry = self._journal.begin_call(bot.id, method, _for_journal(params, uploads))
        if fault:
            entry["fault"] = fault.kind
        try:
            if fault and fault.kind in ("stall", "drop"):
                self._journal.end_call(entry, 0)
                return await self._break(request, fault.seconds if fault.kind == "stall" else 0)
            if fault and fault.kind.isdigit():
                raise fault.refusal()
            result = await self.perform(bot, name, params, uploads)
        except ApiError as error:
            self._journal.end_call(entry, error.code, description=error.description)
            response = _refusal(error)
        except Exception:
            _log.exception("%s failed", name)
            self._journal.end_call(entry, 500)
            response = _refusal(ApiError(500, "Internal Server Error"))
        else:
            self._journal.end_call(entry, 200, result=result)
            response = _json({"ok": True, "result": result})
        if fault and fault.kind == "reply_lost":
            return await self._break(request, 0)
        return response

    async def perform(self, bot: Bot, name: str, params: dict[str, Any], uploads: dict[str, BufferedInputFile]) -> Any:
        """One call's JSON result; raises ApiError as Telegram would refuse."""
        model = KNOWN.get(name)
        if model is None:
            raise ApiError(404, "Not Found: method not found")
        handler = self._handlers.get(name)
        call = validate(model, params, uploads)
        if handler is None:
            raise bad_request(f"the sandbox does not play {model.__api_method__}")
        return encode(await handler(bot, call))

    async def perform_reply(self, bot: Bot, body: bytes, content_type: str) -> None:
        """Performs the call that a webhook's reply carries, if it carries one."""
        params, uploads = _read_reply(body, content_type)
        name = str(params.pop("method", "")).lower()
        if not name:
            return
        entry = self._journal.begin_call(bot.id, name, _for_journal(params, uploads))
        try:
            result = await self.perform(bot, name, params, uploads)
        except ApiError as error:
            self._journal.end_call(entry, error.code, description=error.description)
            raise
        self._journal.end_call(entry, 200, result=result)

    async def file(self, request: web.Request) -> web.StreamResponse:
        try:
            bot = self._bot(request)
            if fault := self._faults.take(bot.id, "file", None):
                if fault.kind.isdigit():
                    raise fault.refusal()
                return await self._break(request, fault.seconds if fault.kind == "stall" else 0)
            data = await self._messages.download(request.match_info["path"])
        except ApiError as error:
            return _refusal(error)
        return web.Response(body=data, content_type="application/octet-stream")

    async def _break(self, request: web.Request, seconds: float) -> web.StreamResponse:
        """Holds the request, then cuts the connection without an answer."""
        try:
            async with asyncio.timeout(seconds):
                await self._closing.wait()
        except TimeoutError:
            pass
        if request.transport is not None:
            request.transport.abort()
        return web.Response()


def validate(
    model: type[TelegramMethod[Any]], params: dict[str, Any], uploads: dict[str, BufferedInputFile]
) -> TelegramMethod[Any]:
    """The call as aiogram's model of the method has it; raises ApiError 400 naming what does not fit."""
    prepared: dict[str, Any] = {}
    for name, value in params.items():
        field = model.model_fields.get(name)
        if field is None:
            continue
        if isinstance(value, str) and value.startswith("attach://"):
            upload = uploads.get(value.removeprefix("attach://"))
            if upload is None:
                raise bad_request(f"can't find the file that {name} attaches")
            prepared[name] = upload
        elif isinstance(value, str) and _structured(field.annotation):
            try:
                prepared[name] = orjson.loads(value)
            except orjson.JSONDecodeError:
                raise bad_request(f"can't parse {name}: it is not JSON") from None
        else:
            prepared[name] = value
    for name, upload in uploads.items():
        if name in model.model_fields and name not in prepared:
            prepared[name] = upload
    try:
        return model.model_validate(prepared)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = str(first["loc"][0]) if first["loc"] else "request"
        if first["type"] == "missing" and len(first["loc"]) == 1:
            raise bad_request(_EMPTY.get(name, f'parameter "{name}" is required')) from None
        where = ".".join(str(part) for part in first["loc"])
        raise bad_request(f"can't parse {where}: {first['msg']}") from None


def _structured(annotation: object) -> bool:
    """Whether a parameter of this type comes as JSON text in a form."""
    if get_origin(annotation) in (list, dict):
        return True
    if isinstance(annotation, type):
        return issubclass(annotation, BaseModel) and not issubclass(annotation, InputFile)
    return any(_structured(argument) for argument in get_args(annotation))


async def _read(request: web.Request) -> tuple[dict[str, Any], dict[str, BufferedInputFile]]:
    params: dict[str, Any] = dict(request.query)
    uploads: dict[str, BufferedInputFile] = {}
    try:
        if request.content_type == "application/json":
            body = await request.read()
            given = orjson.loads(body) if body else {}
            if not isinstance(given, dict):
                raise bad_request("the body must be a JSON object")
            params |= {name: value for name, value in given.items() if value is not None}
        elif request.method == "POST":
            for name, value in (await request.post()).items():
                if isinstance(value, web.FileField):
                    data = await asyncio.to_thread(value.file.read)
                    if len(data) > UPLOAD_BYTES:
                        raise ApiError(413, "Request Entity Too Large")
                    uploads[name] = BufferedInputFile(data, value.filename)
                else:
                    params[name] = value.decode() if isinstance(value, bytes | bytearray) else value
    except web.HTTPRequestEntityTooLarge:
        raise ApiError(413, "Request Entity Too Large") from None
    except (ValueError, orjson.JSONDecodeError):
        raise bad_request("can't parse the request body") from None
    return params, uploads


def _read_reply(body: bytes, content_type: str) -> tuple[dict[str, Any], dict[str, BufferedInputFile]]:
    params: dict[str, Any] = {}
    uploads: dict[str, BufferedInputFile] = {}
    if content_type.startswith("application/json"):
        try:
            given = orjson.loads(body)
        except orjson.JSONDecodeError:
            given = None
        params = given if isinstance(given, dict) else {}
    elif content_type.startswith("multipart/"):
        head = f"Content-Type: {content_type}\r\n\r\n".encode()
        message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
        for part in message.iter_parts():
            name = part.get_param("name", header="content-disposition")
            data = part.get_payload(decode=True)
            if not isinstance(name, str) or not isinstance(data, bytes):
                continue
            if part.get_filename():
                uploads[name] = BufferedInputFile(data, part.get_filename() or name)
            else:
                params[name] = data.decode()
    return params, uploads


def _for_journal(params: dict[str, Any], uploads: dict[str, BufferedInputFile]) -> dict[str, Any]:
    shown = {name: "***" if name in _SECRET_PARAMS else value for name, value in params.items()}
    if uploads:
        shown["files"] = {name: {"name": file.filename, "size": len(file.data)} for name, file in uploads.items()}
    return shown


def _json(body: dict[str, Any], status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")


def _refusal(error: ApiError) -> web.Response:
    body: dict[str, Any] = {"ok": False, "error_code": error.code, "description": error.description}
    if error.retry_after is not None:
        body["parameters"] = {"retry_after": error.retry_after}
    return _json(body, error.code)

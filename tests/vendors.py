"""Both AI vendors on one local port, speaking as they stream, and failing as they are told."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web


def opening(vendor: str) -> bytes:
    if vendor == "openai":
        return b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n'
    usage = {"input_tokens": 12, "output_tokens": 1}
    return event("message_start", message={"id": "m", "role": "assistant", "content": [], "usage": usage})


def words(vendor: str, text: str) -> bytes:
    if vendor == "openai":
        choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
        return b"data: " + json.dumps({"choices": [choice]}, ensure_ascii=False).encode() + b"\n\n"
    return event("content_block_delta", index=0, delta={"type": "text_delta", "text": text})


def ending(vendor: str, finish: str = "") -> bytes:
    if vendor == "openai":
        choice = {"index": 0, "delta": {}, "finish_reason": finish or "stop"}
        usage = {"prompt_tokens": 12, "completion_tokens": 34, "total_tokens": 46}
        chunks = [{"choices": [choice]}, {"choices": [], "usage": usage}]
        return b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"
    delta = {"stop_reason": finish or "end_turn", "stop_sequence": None}
    return event("message_delta", delta=delta, usage={"output_tokens": 34}) + event("message_stop")


def event(kind: str, **fields: Any) -> bytes:
    data = json.dumps({"type": kind} | fields, ensure_ascii=False)
    return f"event: {kind}\ndata: {data}\n\n".encode()


def whole(vendor: str, text: str) -> bytes:
    return opening(vendor) + b"".join(words(vendor, word) for word in text.split(" ") if word) + ending(vendor)


class Vendor:
    """Both vendors' endpoints on one port. `script` gets the open response; `hung_up` is set when a client leaves."""

    def __init__(self) -> None:
        self.url = ""
        self.script: Callable[[web.StreamResponse], Awaitable[None]] | None = None
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.connections: set[object] = set()
        self.hung_up = asyncio.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append({"path": request.path} | await request.json())
        self.headers.append(dict(request.headers))
        self.connections.add(request.transport)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        try:
            assert self.script is not None
            await self.script(response)
        except (asyncio.CancelledError, ConnectionError):
            self.hung_up.set()
            raise
        return response

    def send(self, *chunks: bytes, then_wait: bool = False) -> None:
        """Every answer is these chunks, each a write of its own."""

        async def script(response: web.StreamResponse) -> None:
            for chunk in chunks:
                await response.write(chunk)
                await asyncio.sleep(0)
            if then_wait:
                await asyncio.sleep(60)

        self.script = script


@asynccontextmanager
async def serving_vendors() -> AsyncIterator[Vendor]:
    server = Vendor()
    app = web.Application()
    app.router.add_post("/chat/completions", server.answer)
    app.router.add_post("/v1/messages", server.answer)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        await runner.cleanup()

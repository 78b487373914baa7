"""OpenAI, and whoever speaks like it: `POST {base}/chat/completions`."""

from __future__ import annotations

import functools
from typing import Any, Final, cast

import httpx2
import openai
import orjson

from generation.chain_file import Entry
from generation.ports import Draft, Finish, ModelTruncated, ModelUnavailable, Order
from generation.prompts import prompt_for
from generation.providers.stream import (
    HEADERS,
    failure_of,
    new_http_limits,
    new_http_timeout,
    reported_usage,
    stream,
)

BASE_URL: Final = "https://api.openai.com/v1"

_FINISH: Final[dict[str, Finish]] = {"stop": "stop", "length": "length", "content_filter": "content_filter"}
_STATUS: Final = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "permission_error": 403,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "requests": 429,
    "tokens": 429,
}
"""The status an error would have had, had it come before the stream began; anything else is a 500."""


def new_client(api_key: str, base_url: str | None, calls: int) -> openai.AsyncOpenAI:
    """A pooled client for `calls` at once.

    It neither retries (failover is the chain's) nor follows redirects (a résumé goes where it was configured to go).
    """
    return openai.AsyncOpenAI(
        api_key=api_key,
        base_url=base_url or BASE_URL,
        max_retries=0,
        default_headers=HEADERS,
        http_client=openai.DefaultAioHttpClient(limits=new_http_limits(calls), follow_redirects=False),
    )


class OpenAIModel:
    """One OpenAI model."""

    def __init__(self, client: openai.AsyncOpenAI, entry: Entry) -> None:
        self._client = client
        self._entry = entry
        self._timeout = new_http_timeout(entry.timeouts)

    async def write(self, order: Order, draft: Draft) -> None:
        prompt = prompt_for(order)
        body: dict[str, Any] = {
            "model": self._entry.model,
            "messages": [{"role": "system", "content": prompt.system}, {"role": "user", "content": prompt.user}],
            "max_completion_tokens": self._entry.max_output_tokens,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if self._entry.temperature is not None:
            body["temperature"] = self._entry.temperature
        await stream(functools.partial(self._post, body), _read, draft, self._entry.timeouts)

    async def _post(self, body: dict[str, Any]) -> httpx2.Response:
        # The client's `post` and the raw response: `chat.completions.create` takes a millisecond of CPU more.
        try:
            response = await self._client.post(
                "/chat/completions",
                cast_to=httpx2.Response,
                content=orjson.dumps(body),
                options={"headers": {"Content-Type": "application/json"}, "timeout": self._timeout},
                stream=True,
                stream_cls=openai.AsyncStream[Any],
            )
        except openai.APIStatusError as error:
            out_of_money = error.code == "insufficient_quota"
            raise failure_of(error.status_code, error.response.headers, out_of_money=out_of_money) from None
        except openai.APIError:
            raise ModelUnavailable("no_connection") from None
        return cast(httpx2.Response, response)


def _read(data: bytes, draft: Draft) -> str:
    if data == b"[DONE]":
        return ""
    event = orjson.loads(data)
    if error := event.get("error"):
        raise failure_of(_STATUS.get(error.get("type"), 500), out_of_money=error.get("code") == "insufficient_quota")
    if usage := event.get("usage"):
        draft.usage = reported_usage(usage.get("prompt_tokens"), usage.get("completion_tokens"))
    if not (choices := event.get("choices")):
        return ""
    choice = choices[0]
    if reason := choice.get("finish_reason"):
        if reason not in _FINISH:
            raise ModelTruncated("unknown_finish_reason", counts=True)
        draft.finish = _FINISH[reason]
    text: str = (choice.get("delta") or {}).get("content") or ""
    return text

"""Anthropic: `POST {base}/v1/messages`."""

from __future__ import annotations

import functools
from typing import Any, Final, cast

import anthropic
import httpx2
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

BASE_URL: Final = "https://api.anthropic.com"

_FINISH: Final[dict[str, Finish]] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
}
_STATUS: Final = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
}
"""The status an error would have had, had it come before the stream began; anything else is a 500."""


def new_client(api_key: str, base_url: str | None, calls: int) -> anthropic.AsyncAnthropic:
    """A pooled client for `calls` at once.

    It neither retries (failover is the chain's) nor follows redirects (a résumé goes where it was configured to go),
    makes no spans of its own beside the chain's and tells the vendor no trace id.
    """
    return anthropic.AsyncAnthropic(
        api_key=api_key,
        base_url=base_url or BASE_URL,
        max_retries=0,
        default_headers=HEADERS,
        open_telemetry={"traces": False, "propagation": False},
        http_client=anthropic.DefaultAioHttpClient(limits=new_http_limits(calls), follow_redirects=False),
    )


class AnthropicModel:
    """One Anthropic model."""

    def __init__(self, client: anthropic.AsyncAnthropic, entry: Entry) -> None:
        self._client = client
        self._entry = entry
        self._timeout = new_http_timeout(entry.timeouts)

    async def write(self, order: Order, draft: Draft) -> None:
        prompt = prompt_for(order)
        body: dict[str, Any] = {
            "model": self._entry.model,
            "system": prompt.system,
            "messages": [{"role": "user", "content": prompt.user}],
            "max_tokens": self._entry.max_output_tokens,
            "stream": True,
        }
        if self._entry.temperature is not None:
            body["temperature"] = self._entry.temperature
        await stream(functools.partial(self._post, body), _Reader(), draft, self._entry.timeouts)

    async def _post(self, body: dict[str, Any]) -> httpx2.Response:
        try:
            response = await self._client.post(
                "/v1/messages",
                cast_to=httpx2.Response,
                content=orjson.dumps(body),
                options={"headers": {"Content-Type": "application/json"}, "timeout": self._timeout},
                stream=True,
                stream_cls=anthropic.AsyncStream[Any],
            )
        except anthropic.APIStatusError as error:
            raise failure_of(error.status_code, error.response.headers) from None
        except anthropic.APIError:
            raise ModelUnavailable("no_connection") from None
        return cast(httpx2.Response, response)


class _Reader:
    """Reads one call's events. Anthropic counts what it read in the first event and what it wrote in the last."""

    def __init__(self) -> None:
        self._prompt_tokens: int | None = None

    def __call__(self, data: bytes, draft: Draft) -> str:
        event = orjson.loads(data)
        match event["type"]:
            case "content_block_delta":
                text: str = event["delta"].get("text") or ""
                return text
            case "message_start":
                self._prompt_tokens = (event["message"].get("usage") or {}).get("input_tokens")
            case "message_delta":
                usage = event.get("usage") or {}
                draft.usage = reported_usage(self._prompt_tokens, usage.get("output_tokens"))
                if reason := event["delta"].get("stop_reason"):
                    if reason not in _FINISH:
                        raise ModelTruncated("unknown_finish_reason", counts=True)
                    draft.finish = _FINISH[reason]
            case "error":
                raise failure_of(_STATUS.get(event["error"].get("type"), 500))
        return ""

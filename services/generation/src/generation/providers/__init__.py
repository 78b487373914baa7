"""The vendors behind the `Model` port, and the one place that knows all of them."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from generation.chain_file import Entry, Vendor
from generation.ports import Model
from generation.providers import anthropic, openai
from generation.providers.offline import OfflineModel

# At DEBUG these log whole requests, résumés included; at INFO a line for each call. Neither is ever wanted.
for _name in ("openai", "anthropic", "httpx2"):
    logging.getLogger(_name).setLevel(logging.WARNING)


@dataclass(frozen=True, slots=True)
class Account:
    """How a vendor knows us. `base_url` is as the vendor's SDK reads it; None is the vendor's own."""

    api_key: str = field(repr=False)
    base_url: str | None = None


@asynccontextmanager
async def open_models(
    entries: Sequence[Entry], accounts: Mapping[Vendor, Account], *, offline_seconds: float
) -> AsyncIterator[list[tuple[Entry, Model]]]:
    """The models of the chain that can be called, in its order: an entry whose vendor has no account is left out.

    One pooled client a vendor serves all its models; all are closed on the way out.
    """
    calls = {vendor: sum(entry.concurrency for entry in entries if entry.vendor == vendor) for vendor in accounts}
    async with AsyncExitStack() as stack:
        openai_client = anthropic_client = None
        if (account := accounts.get("openai")) is not None:
            openai_client = openai.new_client(account.api_key, account.base_url, calls["openai"])
            stack.push_async_callback(openai_client.close)
        if (account := accounts.get("anthropic")) is not None:
            anthropic_client = anthropic.new_client(account.api_key, account.base_url, calls["anthropic"])
            stack.push_async_callback(anthropic_client.close)
        models: list[tuple[Entry, Model]] = []
        for entry in entries:
            if entry.vendor == "openai" and openai_client is not None:
                models.append((entry, openai.OpenAIModel(openai_client, entry)))
            elif entry.vendor == "anthropic" and anthropic_client is not None:
                models.append((entry, anthropic.AnthropicModel(anthropic_client, entry)))
            elif entry.vendor == "offline":
                models.append((entry, OfflineModel(offline_seconds)))
        yield models

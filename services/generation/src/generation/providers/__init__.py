"""The vendors behind the `Model` port, and the one place that knows all of them."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

from generation.chain_file import Entry, Vendor
from generation.ports import Model
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
        make: dict[Vendor, Callable[[Entry], Model]] = {"offline": lambda _: OfflineModel(offline_seconds)}
        # A vendor's SDK costs a start a second and 35 MB: only those that are used are imported.
        if account := accounts.get("openai"):
            from generation.providers import openai

            openai_client = openai.new_client(account.api_key, account.base_url, calls["openai"])
            stack.push_async_callback(openai_client.close)
            make["openai"] = partial(openai.OpenAIModel, openai_client)
        if account := accounts.get("anthropic"):
            from generation.providers import anthropic

            anthropic_client = anthropic.new_client(account.api_key, account.base_url, calls["anthropic"])
            stack.push_async_callback(anthropic_client.close)
            make["anthropic"] = partial(anthropic.AnthropicModel, anthropic_client)
        yield [(entry, make[entry.vendor](entry)) for entry in entries if entry.vendor in make]

"""Updates on their way to bots: they wait until a bot fetched them or its webhook took them, in order per chat."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import orjson

from sandbox.clock import first_update_id
from sandbox.errors import ApiError
from sandbox.journal import Journal
from sandbox.store import Store
from sandbox.telegram import Bot, Telegram

KEPT_SECONDS = 24 * 3600
_POLL_SECONDS_AT_MOST = 50
_WEBHOOK_SECONDS = 30.0
_RETRY_FIRST_SECONDS = 0.5
_RETRY_AT_MOST_SECONDS = 5.0  # Telegram waits longer; here a person is looking on
_NOT_BY_DEFAULT = frozenset({"chat_member", "message_reaction", "message_reaction_count"})
_REDELIVERABLE = 10_000
_WEBHOOK_IS_ACTIVE = (
    "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first"
)
_OTHER_POLL = "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running"

# Performs the method call that a webhook's reply may carry.
Perform = Callable[[Bot, bytes, str], Awaitable[None]]


class _Mailbox:
    """One bot's updates: `waiting` by id; `again` are for the next poll, `lanes` (one a chat) for the webhook."""

    def __init__(self) -> None:
        self.waiting: dict[int, dict[str, Any]] = {}
        self.again: list[dict[str, Any]] = []
        self.arrived = asyncio.Event()
        self.poller: object | None = None
        self.lanes: dict[int, deque[dict[str, Any]]] = {}
        self.couriers: dict[int, asyncio.Task[None]] = {}
        self.connections = asyncio.Semaphore(40)
        self.last_error: tuple[int, str] | None = None

    def wake(self) -> None:
        self.arrived.set()
        self.arrived = asyncio.Event()


class Updates:
    """Queues, long polling and webhooks. `perform` is set by the composition root before the first delivery."""

    perform: Perform

    def __init__(self, telegram: Telegram, store: Store, journal: Journal, clock: Callable[[], float]) -> None:
        self._telegram = telegram
        self._store = store
        self._journal = journal
        self._clock = clock
        self._mailboxes: dict[str, _Mailbox] = {}
        self._closing = False
        self._session: aiohttp.ClientSession | None = None
        self._last_id = first_update_id()
        self._recent: OrderedDict[int, dict[str, Any]] = OrderedDict()
        for record in sorted(store.all("update"), key=lambda r: int(r["update"]["update_id"])):
            self._admit(telegram.bots[record["bot_key"]], record)
        for record in store.all("counter"):
            self._last_id = max(self._last_id, record["last_update_id"])

    def _mailbox(self, bot_key: str) -> _Mailbox:
        return self._mailboxes.setdefault(bot_key, _Mailbox())

    def push(self, bot: Bot, person_id: int, kind: str, body: dict[str, Any]) -> int | None:
        """Queues an update and gives its id; None when the bot did not ask for this kind."""
        wanted = kind in bot.allowed_updates if bot.allowed_updates else kind not in _NOT_BY_DEFAULT
        if not wanted:
            return None
        self._last_id += 1
        update = {"update_id": self._last_id, kind: body}
        record = {"bot_key": bot.key, "person_id": person_id, "at": self._clock(), "update": update}
        self._store.put("update", self._last_id, record)
        self._store.put("counter", "update", {"last_update_id": self._last_id})
        self._admit(bot, record)
        self._hand_over(bot, record)
        return self._last_id

    def _admit(self, bot: Bot, record: dict[str, Any]) -> None:
        update_id = record["update"]["update_id"]
        self._mailbox(bot.key).waiting[update_id] = record
        self._journal.update(bot.id, record["update"])
        self._recent[update_id] = record
        if len(self._recent) > _REDELIVERABLE:
            self._recent.popitem(last=False)

    def _hand_over(self, bot: Bot, record: dict[str, Any]) -> None:
        mailbox = self._mailbox(bot.key)
        if bot.webhook is None or self._closing:
            mailbox.wake()
            return
        person_id = record["person_id"]
        mailbox.lanes.setdefault(person_id, deque()).append(record)
        if person_id not in mailbox.couriers:
            mailbox.couriers[person_id] = asyncio.create_task(self._deliver(bot, mailbox, person_id))

    def redeliver(self, update_id: int, times: int) -> bool:
        """Hands an update out again, `times` over, whether or not it was confirmed; False when it is forgotten."""
        record = self._recent.get(update_id)
        if record is None:
            return False
        bot = self._telegram.bots[record["bot_key"]]
        for _ in range(times):
            if bot.webhook is None:
                self._mailbox(bot.key).again.append(record)
            self._hand_over(bot, record)
        return True

    def pending(self, bot: Bot) -> int:
        return len(self._mailbox(bot.key).waiting)

    def last_error(self, bot: Bot) -> tuple[int, str] | None:
        """When (unix seconds) and how the webhook failed last."""
        return self._mailbox(bot.key).last_error

    def _forget(self, mailbox: _Mailbox, update_id: int) -> None:
        if mailbox.waiting.pop(update_id, None):
            self._store.remove("update", update_id)

    def forget_all(self, bot: Bot) -> None:
        mailbox = self._mailbox(bot.key)
        for update_id in list(mailbox.waiting):
            self._forget(mailbox, update_id)

    def _expire(self, mailbox: _Mailbox) -> None:
        for update_id, record in list(mailbox.waiting.items()):
            if record["at"] > self._clock() - KEPT_SECONDS:
                break
            self._forget(mailbox, update_id)

    def _mark_seen(self, record: dict[str, Any]) -> None:
        if message := record["update"].get("message"):
            self._telegram.mark_seen(record["bot_key"], record["person_id"], message["message_id"])

    # Long polling

    async def poll(self, bot: Bot, offset: int, limit: int, timeout: float) -> list[dict[str, Any]]:
        """Up to `limit` updates from `offset` on, waiting up to `timeout` seconds; a newer poll ends this by 409."""
        if bot.webhook:
            raise ApiError(409, _WEBHOOK_IS_ACTIVE)
        mailbox = self._mailbox(bot.key)
        me = mailbox.poller = object()
        mailbox.wake()
        ids = list(mailbox.waiting)
        if offset < 0:
            offset = ids[max(len(ids) + offset, 0)] if ids else 0
        for update_id in ids:
            if update_id < offset:
                self._forget(mailbox, update_id)
        deadline = asyncio.get_running_loop().time() + min(timeout, _POLL_SECONDS_AT_MOST)
        try:
            while True:
                self._expire(mailbox)
                batch = mailbox.again[:limit]
                del mailbox.again[:limit]
                batch += [r for r in mailbox.waiting.values() if r["update"]["update_id"] >= offset][
                    : limit - len(batch)
                ]
                if batch or self._closing:
                    for record in batch:
                        self._journal.attempt(record["update"]["update_id"], "polling", "handed out")
                        self._mark_seen(record)
                    return [record["update"] for record in batch]
                arrived = mailbox.arrived
                try:
                    async with asyncio.timeout_at(deadline):
                        await arrived.wait()
                except TimeoutError:
                    return []
                if mailbox.poller is not me:
                    raise ApiError(409, _OTHER_POLL)
        finally:
            if mailbox.poller is me:
                mailbox.poller = None

    # Webhooks

    async def use_webhook(self, bot: Bot) -> None:
        """Delivers to the bot's webhook from now on, or to none; what was under way is given up and tried again."""
        mailbox = self._mailbox(bot.key)
        await self._stop_couriers(mailbox)
        mailbox.last_error = None
        mailbox.wake()
        if bot.webhook:
            mailbox.connections = asyncio.Semaphore(bot.webhook.max_connections)
            again, mailbox.again = mailbox.again, []
            for record in [*again, *mailbox.waiting.values()]:
                self._hand_over(bot, record)

    async def start(self) -> None:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_WEBHOOK_SECONDS))
        for bot in self._telegram.bots.values():
            if bot.webhook:
                await self.use_webhook(bot)

    async def close(self) -> None:
        """Ends polls and deliveries; what was not confirmed waits in the store."""
        self._closing = True
        for mailbox in self._mailboxes.values():
            mailbox.wake()
            await self._stop_couriers(mailbox)
        if self._session:
            await self._session.close()

    @staticmethod
    async def _stop_couriers(mailbox: _Mailbox) -> None:
        couriers = list(mailbox.couriers.values())
        mailbox.couriers.clear()
        mailbox.lanes.clear()
        for courier in couriers:
            courier.cancel()
        await asyncio.gather(*couriers, return_exceptions=True)

    async def _deliver(self, bot: Bot, mailbox: _Mailbox, person_id: int) -> None:
        """Delivers one chat's updates, each when the one before was taken."""
        lane = mailbox.lanes[person_id]
        wait = _RETRY_FIRST_SECONDS
        while lane:
            record = lane[0]
            if record["at"] > self._clock() - KEPT_SECONDS:
                async with mailbox.connections:
                    taken = await self._send(bot, mailbox, record["update"])
                if not taken:
                    await asyncio.sleep(wait)
                    wait = min(wait * 2, _RETRY_AT_MOST_SECONDS)
                    continue
            wait = _RETRY_FIRST_SECONDS
            lane.popleft()
            self._mark_seen(record)
            self._forget(mailbox, record["update"]["update_id"])
        del mailbox.lanes[person_id], mailbox.couriers[person_id]

    async def _send(self, bot: Bot, mailbox: _Mailbox, update: dict[str, Any]) -> bool:
        webhook = bot.webhook
        if webhook is None or self._session is None:
            return False
        headers = {"Content-Type": "application/json"}
        if webhook.secret_token:
            headers["X-Telegram-Bot-Api-Secret-Token"] = webhook.secret_token
        try:
            async with self._session.post(
                webhook.url, data=orjson.dumps(update), headers=headers, allow_redirects=False
            ) as response:
                reply = await response.read()
                taken = 200 <= response.status < 300
                outcome = f"{response.status} {response.reason}"
                content_type = response.headers.get("Content-Type", "")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            taken, outcome, reply, content_type = False, type(error).__name__, b"", ""
        self._journal.attempt(update["update_id"], "webhook", outcome)
        if not taken:
            mailbox.last_error = (int(self._clock()), f"Wrong response from the webhook: {outcome}")
        elif reply:
            with contextlib.suppress(ApiError):  # as Telegram: the reply's fate is not told to the bot
                await self.perform(bot, reply, content_type)
        return taken


def webhook_ip(url_host: str | None) -> str | None:
    """The address in a webhook's URL when it is one."""
    try:
        return str(ipaddress.ip_address(url_host or ""))
    except ValueError:
        return None

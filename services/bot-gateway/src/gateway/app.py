"""The gateway put together: read this first.

Telegram → webhook or poller → inbox.Inbox (durable) → inbox.Workers, in every process
    → dialogue.Dialogue: handlers ask peers and gather effects in a UnitOfWork → store.commit_work, one transaction
leader.Leader, in one process for a bot → poller.Poller, sender.Sender, deliveries.Deliveries → Telegram
"""

from datetime import timedelta
from functools import partial

from aiogram import Bot
from servicekit.keys import KeyRing
from servicekit.postgres import Connection
from servicekit.runtime import Runtime

from gateway import backlog, store
from gateway.deliveries import Deliveries
from gateway.dialogue import Dialogue
from gateway.errors import TABLE
from gateway.inbox import Inbox, Workers
from gateway.leader import Leader
from gateway.pacer import Pacer
from gateway.peers import Allowances, Letters
from gateway.poller import Poller
from gateway.profile import Profile
from gateway.rate_limits import RateLimits
from gateway.sender import Sender
from gateway.settings import MIGRATIONS, Settings
from gateway.telegram import Voice, open_bot
from gateway.webhook import start_webhook, webhook_app, webhook_path

RETENTION_SECONDS = 3600.0
INBOX_KEPT = timedelta(hours=48)
DELIVERIES_KEPT = timedelta(days=90)


async def serve(settings: Settings) -> None:
    """Serves until SIGTERM."""
    async with Runtime(settings) as runtime:
        clock, bot_id = runtime.clock, settings.bot_id
        requests = await runtime.database(settings.requests_dsn)
        worker = await runtime.database(settings.worker_dsn)
        keys = KeyRing.parse(settings.encryption_keys.get_secret_value())
        letters = Letters(runtime.channel(settings.generation_target))
        allowances = Allowances(runtime.channel(settings.billing_target))
        limits = RateLimits(runtime.redis(settings.redis_url.get_secret_value()), clock)
        bot: Bot = open_bot(settings)
        runtime.on_exit(bot.session.close)

        inbox = Inbox(bot_id, requests, keys, clock)
        token = settings.telegram_bot_token.get_secret_value()
        dialogue = Dialogue(token, letters, allowances, limits, settings.admin_telegram_ids)

        leader = Leader(worker, bot_id, settings.instance)
        voice = Voice(bot, Pacer(), leader.leads)
        sender = Sender(bot_id, worker, keys, voice, clock)
        deliveries = Deliveries(bot_id, worker, letters, voice, clock)
        profile = Profile(bot, settings.telegram_webhook_url, settings.telegram_webhook_secret)
        leader.add_duty("profile", profile.run)
        leader.add_duty("sender", sender.run)
        leader.add_duty("deliveries", deliveries.run)
        if settings.telegram_webhook_url is None:
            leader.add_duty("poller", Poller(bot, inbox).run)

        def committed() -> None:
            sender.arrived.set()
            deliveries.arrived.set()

        workers = Workers(
            bot_id=bot_id,
            holder=settings.instance,
            inbox=inbox,
            worker=worker,
            requests=requests,
            keys=keys,
            clock=clock,
            dialogue=dialogue,
            committed=committed,
            report=runtime.report_error,
        )

        async def forget(connection: Connection) -> None:
            await store.forget_updates(connection, clock.now() - INBOX_KEPT)
            await store.forget_deliveries(connection, clock.now() - DELIVERIES_KEPT)

        if settings.telegram_webhook_url is not None:
            app = webhook_app(inbox, webhook_path(settings.telegram_webhook_url), settings.telegram_webhook_secret)
            runner = await start_webhook(app, settings.listen_address, settings.http_port)
            runtime.on_exit(runner.cleanup)
        runtime.background("inbox workers", lambda: workers.run(runtime.stopping))
        runtime.background("leader", lambda: leader.run(runtime.stopping))
        runtime.repeat("backlog", partial(backlog.measure, worker, bot_id, clock), backlog.MEASURE_SECONDS)
        runtime.repeat_alone("retention", forget, worker, RETENTION_SECONDS)
        runtime.relay_events(worker)
        await runtime.serve(TABLE, [], requests, MIGRATIONS)

"""The same with Postgres and Redis of a user's own, with the sandbox for a Telegram."""

from cluster.own_stores import OwnStores
from cluster.release import Release


async def test_it_is_ready_within_three_minutes_and_writes_a_letter(own: Release) -> None:
    assert own.installed_seconds <= 180
    async with own.chats() as chats:
        await chats.a_letter()
    await own.test()


async def test_the_release_makes_no_secret_of_its_own(own: Release) -> None:
    assert not await own.secrets()


async def test_letters_survive_a_redis_that_forgets_everything(own: Release, own_stores: OwnStores) -> None:
    async with own.chats() as chats, chats.in_use(people=2):
        await own_stores.namespace.kubectl("exec", "redis", "--", "sh", "-c", "kill 1")
        await own_stores.namespace.kubectl("wait", "--for=condition=Ready", "pod/redis", "--timeout=120s")
    assert chats.letters >= 2


async def test_letters_survive_a_postgres_that_ends_every_session(own: Release, own_stores: OwnStores) -> None:
    async with own.chats() as chats, chats.in_use(people=2):
        for _ in range(3):
            await own_stores.sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename ~ '_(requests|worker)$'"
            )
    assert chats.letters >= 2

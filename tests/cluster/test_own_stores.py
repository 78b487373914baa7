"""The same with Postgres and Redis of a user's own, with the sandbox for a Telegram."""

from collections.abc import AsyncIterator

import pytest_asyncio
from cluster.conftest import MakeNamespace
from cluster.own_stores import OwnStores
from cluster.release import SERVICES, Release


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stores(make_namespace: MakeNamespace) -> OwnStores:
    stores = OwnStores(await make_namespace("stores", restricted=False))
    await stores.start()
    return stores


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def release(make_namespace: MakeNamespace, stores: OwnStores) -> AsyncIterator[Release]:
    namespace = await make_namespace("own")
    await namespace.apply(*stores.secrets())
    replicas = [f"{service}.autoscaling.minReplicas=1" for service in SERVICES]
    release = Release(namespace, ["--set", ",".join(["sandbox.enabled=true", *stores.values(), *replicas])])
    await release.install()
    yield release
    await release.uninstall()


async def test_it_is_ready_within_three_minutes_and_writes_a_letter(release: Release) -> None:
    assert release.installed_seconds <= 180
    async with release.chats() as chats:
        await chats.a_letter()
    await release.test()


async def test_the_release_makes_no_secret_of_its_own(release: Release) -> None:
    assert not await release.secrets()


async def test_letters_survive_a_redis_that_forgets_everything(release: Release, stores: OwnStores) -> None:
    async with release.chats() as chats, chats.in_use(people=2):
        await stores.namespace.kubectl("exec", "redis", "--", "sh", "-c", "kill 1")
        await stores.namespace.kubectl("wait", "--for=condition=Ready", "pod/redis", "--timeout=120s")
    assert chats.letters >= 2


async def test_letters_survive_a_postgres_that_ends_every_session(release: Release, stores: OwnStores) -> None:
    async with release.chats() as chats, chats.in_use(people=2):
        for _ in range(3):
            await stores.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename LIKE '%\\_requests'")
    assert chats.letters >= 2

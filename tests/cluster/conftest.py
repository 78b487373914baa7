"""What a scenario may ask for: a namespace that is removed with all that is in it, a demo, a release on own stores."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio
from cluster.own_stores import OwnStores
from cluster.release import SERVICES, Namespace, Release, missing_tools, run

MakeNamespace = Callable[..., Awaitable[Namespace]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest.fixture(scope="session")
def run_id() -> str:
    return os.urandom(3).hex()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def make_namespace(run_id: str) -> AsyncIterator[MakeNamespace]:
    """Makes namespaces `pismo-test-<run>-<name>`; Pod Security "restricted" is enforced unless asked otherwise."""
    if missing := missing_tools():
        pytest.exit(f"cluster-test needs {' and '.join(missing)} on the PATH")
    answer = await run("kubectl", "version", "--request-timeout=10s", succeeds=False)
    if "Server Version" not in answer:
        pytest.exit(f"cluster-test needs a cluster behind kubectl's current context; it said:\n{answer}")
    async with AsyncExitStack() as made:

        async def make(name: str, *, restricted: bool = True) -> Namespace:
            namespace = Namespace(f"pismo-test-{run_id}-{name}")
            made.push_async_callback(namespace.remove)
            await namespace.make(restricted=restricted)
            return namespace

        yield make


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def demo(make_namespace: MakeNamespace) -> AsyncIterator[Release]:
    """The demo as the README installs it."""
    release = Release(await make_namespace("demo"), ["--set", "demo.enabled=true"])
    await release.install()
    yield release
    await release.uninstall()
    assert await release.leftovers() == {"secret/pismo-demo"}, (
        "the demo's keys outlive it, as its volumes do; nothing else"
    )


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def own_stores(make_namespace: MakeNamespace) -> OwnStores:
    stores = OwnStores(await make_namespace("stores", restricted=False))
    await stores.start()
    return stores


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def own(make_namespace: MakeNamespace, own_stores: OwnStores) -> AsyncIterator[Release]:
    """A release on `own_stores`, with the sandbox for a Telegram."""
    namespace = await make_namespace("own")
    await namespace.apply(*own_stores.secrets())
    replicas = [f"{service}.autoscaling.minReplicas=1" for service in SERVICES]
    release = Release(namespace, ["--set", ",".join(["sandbox.enabled=true", *own_stores.values(), *replicas])])
    await release.install()
    yield release
    await release.uninstall()


@pytest.fixture(params=["demo", "own"])
def release(request: pytest.FixtureRequest) -> Release:
    """Either: whatever is true of one is true of the other."""
    found: Release = request.getfixturevalue(request.param)
    return found

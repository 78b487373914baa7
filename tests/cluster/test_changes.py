"""Nothing that an operator or a bad day does to the pods costs anybody a letter.

People chat all the while: a letter that is late by more than their patience, or comes twice, fails the scenario.
"""

import asyncio
import os
import random
import time
from collections.abc import Awaitable, Callable
from functools import partial

import pytest
from cluster.release import SERVICES, Release, run

QUIET_SECONDS = 5


async def until(holds: Callable[[], Awaitable[bool]], what: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not await holds():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        await asyncio.sleep(2)


async def every_pod(release: Release) -> set[str]:
    return {pod for service in SERVICES for pod in await release.pods(service)}


async def has_gone(release: Release, before: set[str]) -> bool:
    return not before & await every_pod(release)


async def serves(release: Release, component: str) -> bool:
    return await release.ready_pods(component) >= 1


async def test_an_upgrade_and_a_rollback_of_every_pod_lose_nothing(release: Release) -> None:
    async with release.chats() as chats, chats.in_use(people=3):
        await asyncio.sleep(QUIET_SECONDS)
        for change in (release.upgrade("--set", "env.UPGRADED=1"), release.roll_back()):
            before = await every_pod(release)
            await change
            await until(partial(has_gone, release, before), "the old pods to go", 180)
        await asyncio.sleep(QUIET_SECONDS)
    assert chats.letters >= 6


async def test_pods_killed_at_random_lose_nothing(release: Release) -> None:
    """Any of the services and of a demo's stores; the sandbox stands for Telegram, which is not Pismo's to kill."""
    seed = int(os.environ.get("CLUSTER_TEST_SEED") or random.randrange(10_000))
    print(f"CLUSTER_TEST_SEED={seed} kills the same again")
    chance = random.Random(seed)
    components = [each for each in (*SERVICES, "postgres", "redis") if await release.pods(each)]
    async with release.chats() as chats, chats.in_use(people=3):
        for component in [*chance.sample(components, len(components)), *chance.choices(components, k=2)]:
            await asyncio.sleep(chance.uniform(2, 8))
            await release.kill(component)
            await until(partial(serves, release, component), f"{component} to be back", 60)
        await asyncio.sleep(QUIET_SECONDS)
    assert chats.letters >= 6


async def test_a_power_cut_in_the_middle_of_a_letter_loses_nothing(demo: Release) -> None:
    async with demo.chats() as chats:
        before = chats.person()
        await before.gets_ready()
        await before.asks_for_a_letter()
    await demo.kill_all()
    await asyncio.sleep(QUIET_SECONDS)  # until the cluster has noticed
    for component in (*SERVICES, "postgres", "redis", "sandbox"):
        await until(partial(serves, demo, component), f"{component} to be back", 90)
    async with demo.chats() as chats:
        after = chats.person(before)
        await after.read("how is it?")
        assert len(await after.letters()) == 1


async def grows_and_shrinks(release: Release) -> None:
    """Generation gets more pods while twelve people ask, and is down to one again while one does."""

    async def pods(wanted: Callable[[int], bool]) -> bool:
        return wanted(len(await release.pods("generation")))

    async with release.chats() as chats:
        async with chats.in_use(people=12):
            await until(lambda: pods(lambda count: count > 1), "more generation pods", 180)
        async with chats.in_use(people=1):
            await until(lambda: pods(lambda count: count == 1), "one generation pod again", 300)
    assert chats.letters >= 12


async def test_generation_grows_under_load_and_shrinks_again_while_letters_are_written(demo: Release) -> None:
    scaling = ["targetCPUUtilizationPercentage=40", "maxReplicas=3"]
    values = [f"generation.autoscaling.{each}" for each in scaling]
    await demo.upgrade("--set", ",".join([*values, "generation.resources.requests.cpu=100m", "scaleDownSeconds=15"]))
    await grows_and_shrinks(demo)


async def test_with_keda_generation_grows_by_what_waits(demo: Release) -> None:
    if "scaledobjects" not in await run("kubectl", "api-resources", "--api-group=keda.sh", "-o", "name"):
        pytest.skip("KEDA is not in this cluster")
    scaling = ["queueDepth.enabled=true", "queueDepth.lettersPerReplica=2", "maxReplicas=3"]
    values = [f"generation.autoscaling.{each}" for each in scaling]
    await demo.upgrade("--set", ",".join([*values, "scaleDownSeconds=15"]))
    await grows_and_shrinks(demo)

"""The demo as somebody meets it who has a cluster and nothing else."""

from cluster.release import SERVICES, Release

PORTS = {"gateway": 50050, "generation": 50051, "billing": 50052, "analytics": 50053, "postgres": 5432, "redis": 6379}
PORTS |= {"sandbox": 8090}
OPS_PORTS = {"gateway": 9460, "generation": 9461, "billing": 9462, "analytics": 9463}

KNOCK = """
import asyncio, sys
async def knock(host, port):
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), 3)
    except OSError as error:
        return type(error).__name__
    writer.close()
    return "open"
async def main():
    # A policy takes a moment to reach a pod that is new.
    await asyncio.sleep(5)
    doors = [door.rsplit(":", 1) for door in sys.argv[1].split()]
    answers = await asyncio.gather(*(knock(host, int(port)) for host, port in doors))
    for (host, port), answer in zip(doors, answers):
        print(f"{host}:{port} {answer}")
asyncio.run(main())
"""


async def doors(release: Release) -> list[str]:
    """Every address and port at which a pod of the release could be met."""
    found = []
    for component, port in PORTS.items():
        for pod in await release.namespace.get("pods", instance=release.name, component=component):
            found.append(f"{pod['status']['podIP']}:{port}")
            if component in OPS_PORTS:
                found.append(f"{pod['status']['podIP']}:{OPS_PORTS[component]}")
    assert len(found) >= len(PORTS) + len(OPS_PORTS)
    return found


async def knock(release: Release, at: list[str], **labels: str) -> dict[str, str]:
    """Which of these doors open to a pod in the release's own namespace."""
    printed = await release.namespace.try_in_pod(
        f"import sys; sys.argv.append({' '.join(at)!r})\n{KNOCK}",
        {f"app.kubernetes.io/{name}": value for name, value in labels.items()},
    )
    return dict(line.split() for line in printed.splitlines())


async def test_it_is_ready_within_three_minutes_under_pod_security_restricted(demo: Release) -> None:
    assert demo.installed_seconds <= 180
    for service in SERVICES:
        assert await demo.ready_pods(service) >= 1


async def test_a_letter_comes_through_the_forwarded_port(demo: Release) -> None:
    async with demo.chats() as chats:
        await chats.a_letter()


async def test_helm_test_writes_a_letter(demo: Release) -> None:
    await demo.test()


async def test_an_upgrade_with_the_same_values_changes_no_secret_and_old_letters_open(demo: Release) -> None:
    async with demo.chats() as chats:
        person = await chats.a_letter()
        before = await demo.secrets()
        assert len(before) >= len(SERVICES) + 1
        await demo.upgrade()
        assert await demo.secrets() == before
        for service in SERVICES:
            pods = await demo.namespace.get("pods", instance=demo.name, component=service)
            assert len({pod["spec"]["containers"][0]["image"] for pod in pods}) == 1
        # To be revised, the letter's texts must be opened with the keys from before.
        await person.press("👎")
        await person.say("Короче, пожалуйста")
        await person.read("better?")


async def test_a_stranger_reaches_nothing_of_the_release(demo: Release) -> None:
    assert "open" not in (await knock(demo, await doors(demo))).values()


async def test_a_service_reaches_just_what_the_call_table_lets_it_call(demo: Release) -> None:
    """Billing calls analytics only; a pod that has its labels is as free as it, and no freer."""
    labels = {"name": "pismo", "instance": demo.name, "component": "billing"}
    answers = await knock(demo, await doors(demo), **labels)
    opened = {door.rpartition(":")[2] for door, answer in answers.items() if answer == "open"}
    assert opened == {str(PORTS["analytics"]), str(PORTS["postgres"])}

"""A release of Pismo in the cluster that kubectl reaches, seen as its operator sees it: by kubectl and helm."""

import asyncio
import base64
import json
import os
import re
import shutil
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from person import Message, Person

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts/pismo"
SERVICES = ("gateway", "generation", "billing", "analytics")

HELM = os.environ.get("HELM", "helm")
IMAGE_REGISTRY = os.environ.get("IMAGE_REGISTRY", "")
IMAGE_TAG = os.environ.get("IMAGE_TAG", "dev")
POSTGRES_IMAGE = os.environ.get("POSTGRES_IMAGE", "postgres:17")
REDIS_IMAGE = os.environ.get("REDIS_IMAGE", "redis:8")

READY_SECONDS = 180
"""How long an install may take with its images present."""
PATIENCE_SECONDS = 120.0
"""How long a person waits for the bot's next word."""


class CommandFailed(AssertionError):
    """A command that was to succeed did not; says what it printed."""


async def run(*command: str, stdin: str | None = None, succeeds: bool = True) -> str:
    """What the command printed, both streams. Raises CommandFailed unless it succeeds, or was let fail."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE if stdin is not None else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await process.communicate(stdin.encode() if stdin is not None else None)
    text = printed.decode(errors="replace")
    if process.returncode and succeeds:
        raise CommandFailed(f"{' '.join(command)}\n{text}")
    return text


def missing_tools() -> list[str]:
    return [tool for tool in ("kubectl", HELM) if shutil.which(tool) is None]


class Namespace:
    """A namespace of a run's own."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def kubectl(self, *arguments: str, stdin: str | None = None, succeeds: bool = True) -> str:
        return await run("kubectl", "--namespace", self.name, *arguments, stdin=stdin, succeeds=succeeds)

    async def apply(self, *objects: dict[str, Any]) -> None:
        listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        await self.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(listed))

    async def get(self, kind: str, **labels: str) -> list[dict[str, Any]]:
        selector = ",".join(f"app.kubernetes.io/{name}={value}" for name, value in labels.items())
        found: list[dict[str, Any]] = json.loads(await self.kubectl("get", kind, "-o", "json", "-l", selector))["items"]
        return found

    async def make(self, *, restricted: bool) -> None:
        level = "restricted" if restricted else "privileged"
        labels = {"pod-security.kubernetes.io/enforce": level, "pismo-cluster-test": "true"}
        await self.apply(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.name, "labels": labels}},
        )

    async def remove(self) -> None:
        await run("kubectl", "delete", "namespace", self.name, "--ignore-not-found", "--timeout=180s")

    async def try_in_pod(self, code: str, labels: dict[str, str] | None = None) -> str:
        """What a Python program prints in a pod of this namespace, which is nobody's unless `labels` say so."""
        name = f"stranger-{os.urandom(3).hex()}"
        security = {
            "runAsNonRoot": True,
            "runAsUser": 10001,
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        container = {
            "name": "python",
            "image": image("gateway"),
            "imagePullPolicy": "IfNotPresent",
            "command": ["python", "-c", code],
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        }
        await self.apply(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": name, "labels": labels or {}},
                "spec": {
                    "restartPolicy": "Never",
                    "automountServiceAccountToken": False,
                    "securityContext": security,
                    "containers": [container],
                },
            }
        )
        try:
            until = "--for=jsonpath={.status.phase}=Succeeded"
            await self.kubectl("wait", f"pod/{name}", until, "--timeout=90s")
            return await self.kubectl("logs", name)
        finally:
            await self.kubectl("delete", "pod", name, "--wait=false", "--grace-period=0", "--force")


def image(service: str) -> str:
    registry = f"{IMAGE_REGISTRY.rstrip('/')}/" if IMAGE_REGISTRY else ""
    return f"{registry}pismo/{service}:{IMAGE_TAG}"


class Release:
    """One installation of the chart."""

    def __init__(self, namespace: Namespace, values: Sequence[str], name: str = "pismo") -> None:
        """`values` are helm's own arguments: `--set …`, `--values …`."""
        self.namespace = namespace
        self.name = name
        self.installed_seconds = 0.0
        self._values = ["--set", f"image.registry={IMAGE_REGISTRY}", "--set", f"image.tag={IMAGE_TAG}", *values]

    async def helm(self, *arguments: str) -> str:
        return await run(HELM, "--namespace", self.namespace.name, *arguments)

    async def install(self) -> None:
        """Returns when all of it is Ready; raises CommandFailed when it is not after three minutes."""
        began = time.monotonic()
        await self.helm("install", self.name, str(CHART), *self._values, *self._wait())
        self.installed_seconds = time.monotonic() - began

    async def upgrade(self, *changes: str) -> None:
        await self.helm("upgrade", self.name, str(CHART), *self._values, *changes, *self._wait())

    async def roll_back(self) -> None:
        """To the revision before the last one."""
        await self.helm("rollback", self.name, *self._wait())

    async def test(self) -> None:
        """`helm test`. Raises CommandFailed with what the test printed."""
        try:
            await self.helm("test", self.name)
        except CommandFailed as failure:
            raise CommandFailed(f"{failure}\n{await self.namespace.kubectl('logs', f'{self.name}-test')}") from None

    async def uninstall(self) -> None:
        await self.helm("uninstall", self.name, "--wait")

    async def leftovers(self) -> set[str]:
        """What is still there with the release's label, but for pods that are ending."""
        kinds = "deployment,statefulset,job,service,secret,configmap,networkpolicy,hpa,pdb,serviceaccount"
        selector = f"app.kubernetes.io/instance={self.name}"
        return set((await self.namespace.kubectl("get", kinds, "-l", selector, "-o", "name")).split())

    @staticmethod
    def _wait() -> tuple[str, ...]:
        return ("--wait", f"--timeout={READY_SECONDS}s")

    async def pods(self, service: str) -> list[str]:
        """The pods of a service that are not on their way out."""
        found = await self.namespace.get("pods", instance=self.name, component=service)
        return [each["metadata"]["name"] for each in found if "deletionTimestamp" not in each["metadata"]]

    async def ready_pods(self, component: str) -> int:
        found = await self.namespace.get("deployments,statefulsets", instance=self.name, component=component)
        return int(found[0]["status"].get("readyReplicas", 0))

    async def kill(self, component: str) -> None:
        """Ends one pod of a service or a store at once, as a node that dies would."""
        pod = (await self.pods(component))[0]
        await self.namespace.kubectl("delete", "pod", pod, "--grace-period=0", "--force", "--wait=false")

    async def kill_all(self) -> None:
        """Ends every pod at once, stores and sandbox among them, as a power cut would."""
        every = f"app.kubernetes.io/instance={self.name}"
        await self.namespace.kubectl("delete", "pods", "-l", every, "--grace-period=0", "--force", "--wait=false")

    async def secrets(self) -> dict[str, str]:
        """Every Secret of the release with its content's version."""
        found = await self.namespace.get("secrets", instance=self.name)
        return {each["metadata"]["name"]: json.dumps(each["data"], sort_keys=True) for each in found}

    @asynccontextmanager
    async def forwarded(self, target: str, port: int) -> AsyncIterator[int]:
        """The local port behind which `target` (`svc/…`, `pod/…`) answers."""
        process = await asyncio.create_subprocess_exec(
            "kubectl",
            f"--namespace={self.namespace.name}",
            "port-forward",
            target,
            f":{port}",
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout
        reading = None
        try:
            line = (await asyncio.wait_for(process.stdout.readline(), 30)).decode()
            found = re.search(r"127\.0\.0\.1:(\d+)", line)
            assert found, f"port-forward to {target} said {line!r}"
            reading = asyncio.create_task(process.communicate())
            yield int(found[1])
        finally:
            if process.returncode is None:
                process.terminate()
            await (reading or process.communicate())

    @asynccontextmanager
    async def chats(self) -> AsyncIterator["Chats"]:
        """The sandbox's chats, by port-forward."""
        async with self.forwarded(f"svc/{self.name}-sandbox", 8090) as port, aiohttp.ClientSession() as session:
            yield Chats(session, f"http://127.0.0.1:{port}")


class Patient(Person):
    """Waits longer than tests of one machine do: pods come and go meanwhile."""

    async def _wait(self, fits: Any, wanted: str, seconds: float, times: int = 1) -> Message:
        return await super()._wait(fits, wanted, max(seconds, PATIENCE_SECONDS), times)


class Chats:
    """People who talk to the bot of a release."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url
        self.letters = 0

    def person(self, again: Person | None = None) -> Person:
        """Somebody new, or somebody from before a port was lost."""
        person = Patient(self._session, self._url)
        if again:
            person.id = again.id
        return person

    async def a_letter(self) -> Person:
        """Somebody new comes and gets a letter, once."""
        person = self.person()
        await person.gets_ready()
        await person.asks_for_a_letter()
        await person.read("how is it?")
        assert len(await person.letters()) == 1, "the letter came more than once"
        self.letters += 1
        return person

    @asynccontextmanager
    async def in_use(self, people: int) -> AsyncIterator[None]:
        """That many people at a time ask for letters for as long as the block lasts; each gets one, once."""
        enough = asyncio.Event()

        async def keep_asking() -> None:
            while not enough.is_set():
                await self.a_letter()

        async with asyncio.TaskGroup() as group:
            for _ in range(people):
                group.create_task(keep_asking())
            try:
                yield
            finally:
                enough.set()


def secret(name: str, values: dict[str, str]) -> dict[str, Any]:
    """A Secret as an operator would make it."""
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": encoded}

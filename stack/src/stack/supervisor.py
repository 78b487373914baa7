"""`make up`: starts everything in order, keeps it running, and stops it in the opposite order."""

import asyncio
import os
import shlex
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path

import aiohttp
import asyncpg
import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from stack.certificates import Authority, Identity
from stack.composition import Plan, PlanFault, Replica, compose, given
from stack.console import Console
from stack.home import Home, HomeFault
from stack.ports import LOOPBACK, is_free
from stack.postgres import EmbeddedPostgres, PostgresFault
from stack.process import Process, Program, die_with_parent
from stack.redis import EmbeddedRedis
from stack.roles import SERVICES, bootstrap

# Together less than the 15 s that all of it may take.
_SERVICE_GRACE_SECONDS = 9.0
_SANDBOX_GRACE_SECONDS = 2.0
_STORE_GRACE_SECONDS = 3.0
_STARTS_BEFORE_GIVING_UP = 5
_PROBE_SECONDS = 1.0
_PATIENCE_SECONDS = 15.0
_LONGEST_START_SECONDS = 120.0
_PARENT_POLL_SECONDS = 0.5


class StartFault(Exception):
    """Something did not start; says what and where to look."""


async def up(environ: Mapping[str, str]) -> int:
    """Run Pismo until SIGINT or SIGTERM. Gives the exit code: 0 when it was asked to stop."""
    console = Console()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for which in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(which, stop.set)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup has it
        loop.add_signal_handler(signal.SIGHUP, stop.set)
    watching = asyncio.create_task(_watch_make(stop))
    home = Home.of(environ)
    try:
        home.prepare()
        with home.lock():
            return await Supervisor(environ, home, console).run(stop)
    except (HomeFault, PlanFault, StartFault, PostgresFault, RuntimeError) as fault:
        console.say(f"make up: {fault}")
        return 1
    finally:
        watching.cancel()
        console.close()


class Supervisor:
    """All processes of one PISMO_HOME."""

    def __init__(self, environ: Mapping[str, str], home: Home, console: Console) -> None:
        self._environ = environ
        self._home = home
        self._console = console
        self._layers: list[tuple[list[Process], float]] = []
        """In the order of their start, each with the seconds it may take to stop."""
        self._logs: dict[str, FileIO] = {}

    async def run(self, stop: asyncio.Event) -> int:
        """Start, wait, stop. Raises the faults of the start, after everything that had started has stopped."""
        starting = asyncio.create_task(self._start())
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                await stopping
            self._console.say("stopping")
        finally:
            for task in (starting, stopping):
                task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await starting
            await self._stop()
            for log in self._logs.values():
                log.close()
        self._console.say("stopped")
        return 0

    async def _start(self) -> None:
        secrets = self._home.secrets()
        postgres_url, redis_url = given(self._environ, "DATABASE_URL"), given(self._environ, "REDIS_URL")
        stores: list[Program] = []
        if postgres_url is None:
            postgres = EmbeddedPostgres(self._home.folder / "postgres", password=secrets.postgres_password)
            stores.append(postgres.program())
            postgres_url = postgres.url
        if redis_url is None:
            redis = EmbeddedRedis(self._home.folder / "redis", password=secrets.redis_password)
            stores.append(redis.program())
            redis_url = redis.url
        plan = compose(self._environ, secrets, self._home.folder, postgres_url, redis_url)
        _check_ports(plan)
        if plan.tls_folder:
            authority = Authority(plan.tls_folder, datetime.now(UTC))
            for service in SERVICES:
                authority.issue(service)
        self._home.write_env(plan.settings)
        self._console.say(f"Pismo starts; it keeps its data and logs in {self._home.folder}")

        await self._until_ready(self._launch(stores, _STORE_GRACE_SECONDS))
        try:
            await bootstrap(postgres_url, secrets.role_passwords)
        except (OSError, asyncpg.PostgresError) as error:
            raise StartFault(f"the database server cannot be prepared: {error}") from error
        started = self._launch(_sandbox(plan), _SANDBOX_GRACE_SECONDS)
        await asyncio.gather(*(self._migrate(plan.replicas_of(service)[0]) for service in SERVICES))
        started += self._launch([_service(replica) for replica in plan.replicas], _SERVICE_GRACE_SECONDS)
        await self._until_ready(started)
        self._console.say(_welcome(plan, self._home))

    def _launch(self, programs: list[Program], grace_seconds: float) -> list[Process]:
        """Start programs that will be stopped together."""
        processes = [
            Process(
                program,
                pid_file=self._home.pid_file(program.name),
                on_output=self._output,
                on_event=self._console.event,
            )
            for program in programs
        ]
        self._layers.append((processes, grace_seconds))
        for process in processes:
            process.start()
        return processes

    async def _until_ready(self, processes: list[Process]) -> None:
        give_up_at = time.monotonic() + _LONGEST_START_SECONDS
        waiting = {
            asyncio.create_task(process.until_ready(_STARTS_BEFORE_GIVING_UP), name=process.program.name)
            for process in processes
        }
        try:
            while waiting:
                done, waiting = await asyncio.wait(
                    waiting, timeout=_PATIENCE_SECONDS, return_when=asyncio.FIRST_EXCEPTION
                )
                for task in done:
                    if error := task.exception():
                        raise StartFault(f"{error}; see {self._home.log_file(task.get_name())}") from error
                names = ", ".join(sorted(task.get_name() for task in waiting))
                if waiting and time.monotonic() > give_up_at:
                    raise StartFault(f"no answer within {_LONGEST_START_SECONDS:.0f} s: {names}")
                if waiting and not done:
                    self._console.say(f"still waiting for {names}")
        finally:
            for task in waiting:
                task.cancel()

    def _output(self, name: str, line: bytes) -> None:
        if name not in self._logs:
            self._logs[name] = open(self._home.log_file(name), "ab", buffering=0)  # noqa: SIM115
        self._logs[name].write(line + b"\n")
        self._console.output(name, line)

    async def _migrate(self, replica: Replica) -> None:
        migration = await asyncio.create_subprocess_exec(
            *_python(replica.service, "migrate"),
            env=replica.environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent(signal.SIGKILL),
        )
        try:
            output, _ = await migration.communicate()
        except asyncio.CancelledError:
            migration.kill()
            await migration.wait()
            raise
        for line in output.splitlines():
            self._output(replica.service, line)
        if migration.returncode:
            raise StartFault(f"the migration of {replica.service} failed")

    async def _stop(self) -> None:
        for processes, grace_seconds in reversed(self._layers):
            await asyncio.gather(*(process.stop(grace_seconds) for process in processes))


def _python(module: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", module, *arguments)


def _sandbox(plan: Plan) -> list[Program]:
    if plan.sandbox is None:
        return []
    # Ready with its bot: before the gateway has called it, nobody can write to anybody.
    return [
        Program("sandbox", _python("sandbox"), plan.sandbox, is_ready=lambda: _answers(f"{plan.front}/sandbox/ready"))
    ]


def _service(replica: Replica) -> Program:
    return Program(
        replica.name,
        _python(replica.service, "serve"),
        replica.environment,
        is_ready=lambda: _is_serving(replica),
    )


async def _is_serving(replica: Replica) -> bool:
    async with _channel(f"{LOOPBACK}:{replica.grpc_port}", replica.identity) as channel:
        try:
            answer = await health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(service=""), timeout=_PROBE_SECONDS
            )
        except grpc.aio.AioRpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def _channel(target: str, identity: Identity | None) -> grpc.aio.Channel:
    if identity is None:
        return grpc.aio.insecure_channel(target)
    credentials = grpc.ssl_channel_credentials(
        identity.authority.read_bytes(), identity.key.read_bytes(), identity.certificate.read_bytes()
    )
    return grpc.aio.secure_channel(target, credentials)


async def _answers(url: str) -> bool:
    timeout = aiohttp.ClientTimeout(total=_PROBE_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        try:
            async with session.get(url) as answer:
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False


def _check_ports(plan: Plan) -> None:
    taken = [
        f"port {port} is taken: stop what listens there, or set {name}"
        for port, name in plan.ports.items()
        if not is_free(port)
    ]
    if taken:
        raise StartFault("\n".join(taken))


def _welcome(plan: Plan, home: Home) -> str:
    example = f"{_grpcurl_flags(plan)} localhost:{plan.replicas_of('generation')[0].grpc_port} list"
    ports = ", ".join(f"{replica.name} {replica.grpc_port}" for replica in plan.replicas)
    return "\n".join(
        [
            "",
            f"  open     {plan.front}",
            f"  call     grpcurl {example}   ({ports})",
            f"  logs     {home.log_file('<service>')}",
            f"  env      source {home.env_file}",
            "  stop     Ctrl-C",
            "",
            f"ready: {plan.front}",
        ]
    )


def _grpcurl_flags(plan: Plan) -> str:
    """As the gateway, which the call table lets do the most."""
    identity = plan.replicas_of("gateway")[0].identity
    if identity is None:
        return "-plaintext"
    certificate, key, authority = (shlex.quote(str(path)) for path in identity)
    return f"-cacert {authority} -cert {certificate} -key {key}"


async def _watch_make(stop: asyncio.Event) -> None:
    """Stop with the `make` that started us, when it was killed, or when it alone was sent a SIGINT.

    Of the signals that are sent to it alone, make hands on only SIGTERM: at a SIGINT it ceases to catch it and waits
    for its children. Linux shows which signals a process catches.
    """
    parent = os.getppid()
    if _status(parent).get("Name") not in ("make", "gmake"):
        return
    # In a script's background it never catches SIGINT.
    watched = _catches_interrupts(parent)
    while os.getppid() == parent and (not watched or _catches_interrupts(parent)):  # noqa: ASYNC110
        await asyncio.sleep(_PARENT_POLL_SECONDS)
    stop.set()


def _catches_interrupts(pid: int) -> bool:
    caught = int(_status(pid).get("SigCgt", "0"), 16)
    return bool(caught >> (signal.SIGINT - 1) & 1)


def _status(pid: int) -> dict[str, str]:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return {}
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}

"""`make up` itself, around services that only say they are healthy."""

import asyncio
import os
import re
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import grpc
import pytest
import redis
from pismo.billing.v1 import billing_service_pb2_grpc
from pismo.billing.v1.billing_service_pb2 import GetAllowanceRequest, ReserveRequest
from servicekit.channel import open_channel
from servicekit.errors import refusal
from servicekit.tls import TlsFiles
from stack.certificates import Identity
from stack.ports import free_port

SERVICES = ("gateway", "generation", "billing", "analytics")
NAMES = (*SERVICES, "sandbox", "postgres", "redis")

FAKE_SERVICE = """
import asyncio, json, os, signal, sys
import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

async def serve(service):
    server = grpc.aio.server()
    servicer = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    await servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    prefix = service.upper()
    address = f"127.0.0.1:{os.environ[prefix + '_GRPC_PORT']}"
    if prefix + "_TLS_KEY_FILE" in os.environ:
        key, own, authority = (
            open(os.environ[f"{prefix}_TLS_{each}_FILE"], "rb").read() for each in ("KEY", "CERT", "CA")
        )
        server.add_secure_port(address, grpc.ssl_server_credentials([(key, own)], authority, True))
    else:
        server.add_insecure_port(address)
    await server.start()
    print(json.dumps({"level": "info", "event": "serving", "instance": os.environ["INSTANCE"]}), flush=True)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    await server.stop(0)

def main(service):
    if sys.argv[1] == "serve":
        asyncio.run(serve(service))
    print(f"{service}: schema at version 1")
"""
FAKE_SANDBOX = """
import http.server, os
class Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path in ("/", "/sandbox/ready") else 404)
        self.end_headers()
http.server.test(Handler, port=int(os.environ["SANDBOX_PORT"]), bind="127.0.0.1")
"""


@dataclass
class Up:
    """One `make up` and what it said."""

    home: Path
    environ: dict[str, str]
    run: "subprocess.Popen[str] | None" = None
    said: list[str] = field(default_factory=list)

    def start(self, *command: str) -> None:
        self.run = subprocess.Popen(
            command or (sys.executable, "-m", "stack", "up"),
            env=self.environ,
            cwd=self.home.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def until_said(self, pattern: str) -> str:
        assert self.run
        assert self.run.stdout
        for line in self.run.stdout:
            self.said.append(line)
            if re.search(pattern, line):
                return line.rstrip("\n")
        raise AssertionError(f"never said {pattern!r}:\n{''.join(self.said)}")

    def end(self) -> tuple[int, str]:
        """Its exit code, and what it said since it was last heard."""
        assert self.run
        said, _ = self.run.communicate(timeout=30)
        return self.run.returncode, said

    def pid(self, name: str) -> int:
        return int((self.home / "run" / f"{name}.pid").read_text())

    def settings(self) -> dict[str, str]:
        lines = (self.home / "env").read_text().splitlines()
        return dict(shlex.split(line.removeprefix("export "))[0].split("=", 1) for line in lines)


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def eventually(holds: Callable[[], object], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def make(folder: Path, **environ: str) -> Up:
    for service in SERVICES:
        package = folder / "fakes" / service
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "__main__.py").write_text(f"from fake_service import main\nmain({service!r})\n")
    (folder / "fakes" / "sandbox.py").write_text(FAKE_SANDBOX)
    (folder / "fakes" / "fake_service.py").write_text(FAKE_SERVICE)
    ports = [f"{service.upper()}_{kind}_PORT" for service in SERVICES for kind in ("GRPC", "OPS")]
    environ = {name: str(free_port()) for name in [*ports, "GATEWAY_HTTP_PORT", "SANDBOX_PORT"]} | environ
    home = folder / "home"
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("TELEGRAM", "PISMO"))}
    return Up(home, inherited | environ | {"PISMO_HOME": str(home), "PYTHONPATH": str(folder / "fakes")})


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A running one; BILLING=2."""
    made = make(tmp_path_factory.mktemp("up"), BILLING="2")
    made.start()
    made.until_said("^ready: ")
    yield made
    assert made.run
    made.run.terminate()
    assert made.end()[0] == 0


def test_it_says_what_to_open_how_to_call_and_then_that_it_is_ready(up: Up) -> None:
    page = f"http://127.0.0.1:{up.environ['SANDBOX_PORT']}"
    assert up.said[-1] == f"ready: {page}\n"
    assert f"grpcurl -plaintext localhost:{up.environ['GENERATION_GRPC_PORT']} list" in "".join(up.said)
    assert "\x1b" not in "".join(up.said)


def test_its_folder_has_the_promised_files(up: Up) -> None:
    for name in (*NAMES, "billing-2"):
        assert lives(up.pid(name)), name
        assert (up.home / "logs" / f"{name}.log").exists(), name
    assert stat.S_IMODE((up.home / "env").stat().st_mode) == 0o600
    assert stat.S_IMODE((up.home / "secrets.json").stat().st_mode) == 0o600
    assert '"event": "serving"' in (up.home / "logs" / "billing-2.log").read_text()


def test_what_it_set_can_be_sourced_and_leads_to_the_stores(up: Up) -> None:
    settings = up.settings()
    assert settings["BILLING_TARGET"].count("127.0.0.1:") == 2
    with redis.Redis.from_url(settings["REDIS_URL"]) as client:
        assert client.ping()

    async def who(url: str) -> object:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetchval("SELECT current_user")
        finally:
            await connection.close()

    assert asyncio.run(who(settings["GATEWAY_WORKER_DATABASE_URL"])) == "gateway_worker"


def test_with_tls_services_answer_whom_the_call_table_names(tmp_path: Path) -> None:
    """Billing is the real one here."""
    up = make(tmp_path, TLS="1", BILLING="2")
    shutil.rmtree(tmp_path / "fakes" / "billing")
    up.start()
    up.until_said("^ready: ")
    target = up.settings()["BILLING_TARGET"]
    tls = up.home / "tls"
    as_gateway = f"-cacert {tls}/ca.crt -cert {tls}/gateway.crt -key {tls}/gateway.key"
    assert f"grpcurl {as_gateway} localhost:" in "".join(up.said)

    async def ask(service: str | None, method: str) -> str:
        identity = TlsFiles(*Identity.of(service, tls)) if service else None
        async with open_channel(target, identity) as channel:
            stub = billing_service_pb2_grpc.AllowanceServiceStub(channel)
            person = str(uuid.uuid4())
            try:
                if method == "Reserve":
                    await stub.Reserve(ReserveRequest(request_id=person, person_id=person))
                else:
                    await stub.GetAllowance(GetAllowanceRequest(person_id=person))
            except grpc.aio.AioRpcError as error:
                return refusal(error).reason or error.code().name
        return "OK"

    assert asyncio.run(ask("gateway", "GetAllowance")) == "OK"
    assert asyncio.run(ask("gateway", "Reserve")) == "CALLER_NOT_ALLOWED"
    assert asyncio.run(ask("analytics", "GetAllowance")) == "CALLER_NOT_ALLOWED"
    assert asyncio.run(ask(None, "GetAllowance")) == "UNAVAILABLE"
    assert up.run
    up.run.terminate()
    assert up.end()[0] == 0


def test_a_second_one_is_refused_and_so_is_a_reset(up: Up) -> None:
    for command in ("up", "reset"):
        second = subprocess.run(
            [sys.executable, "-m", "stack", command], env=up.environ, capture_output=True, text=True, check=False
        )
        assert second.returncode == 1
        assert f"already running in {up.home}" in second.stdout + second.stderr


@pytest.mark.parametrize("name", ["gateway", "billing-2", "sandbox", "postgres", "redis"])
def test_whatever_is_killed_is_back_within_three_seconds_and_that_is_said(up: Up, name: str) -> None:
    first = up.pid(name)
    killed = time.monotonic()
    os.kill(first, signal.SIGKILL)
    assert up.until_said(f" {name} .*starting it again").endswith("was killed by SIGKILL; starting it again now")
    eventually(lambda: (up.home / "run" / f"{name}.pid").exists() and up.pid(name) != first, seconds=3)
    assert time.monotonic() - killed < 3


def test_a_taken_port_is_named_with_the_variable_that_moves_it(tmp_path: Path) -> None:
    up = make(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        up.environ["GENERATION_GRPC_PORT"] = str(taken.getsockname()[1])
        up.start()
        code, said = up.end()
    assert code == 1
    assert f"port {up.environ['GENERATION_GRPC_PORT']} is taken" in said
    assert "GENERATION_GRPC_PORT" in said
    assert not (up.home / "postgres").exists()


@pytest.mark.parametrize(
    ("fails", "told"),
    [("migrate", "the migration of billing failed"), ("serve", "billing ended 5 times before it was ready; see .*log")],
)
def test_what_cannot_start_ends_it_with_a_reason_and_leaves_nothing_running(
    tmp_path: Path, fails: str, told: str
) -> None:
    up = make(tmp_path)
    (tmp_path / "fakes" / "billing" / "__main__.py").write_text(
        f"import sys\nif sys.argv[1] == '{fails}': sys.exit('BILLING_X is wrong')\n"
    )
    up.start()
    up.until_said("BILLING_X is wrong")
    code, said = up.end()
    assert code == 1
    assert re.search(f"^make up: {told}", said, re.MULTILINE)
    assert [path.name for path in (up.home / "run").iterdir()] == ["stack.pid"]


def test_killed_with_no_time_to_act_it_leaves_nothing_running_and_starts_again_with_its_data(tmp_path: Path) -> None:
    up = make(tmp_path)
    up.start()
    up.until_said("^ready: ")
    before = up.settings()
    pids = [up.pid(name) for name in NAMES]

    async def execute(statement: str) -> object:
        connection = await asyncpg.connect(up.settings()["BILLING_MIGRATION_DATABASE_URL"])
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    asyncio.run(execute("CREATE TABLE billing.kept AS SELECT 42 AS number"))
    assert up.run
    up.run.kill()
    up.end()
    eventually(lambda: not any(lives(pid) for pid in pids), seconds=5)

    # This time by make, which hands on no SIGINT that is sent to it alone.
    (tmp_path / "Makefile").write_text(f"up:\n\t@exec {shlex.quote(sys.executable)} -m stack up\n")
    up.start("make")
    up.until_said("^ready: ")
    assert asyncio.run(execute("SELECT number FROM billing.kept")) == 42
    assert up.settings()["ENCRYPTION_KEYS"] == before["ENCRYPTION_KEYS"]
    assert up.settings()["TELEGRAM_BOT_TOKEN"] == before["TELEGRAM_BOT_TOKEN"]
    pids = [up.pid(name) for name in NAMES]
    asked = time.monotonic()
    up.run.send_signal(signal.SIGINT)
    _, said = up.end()
    assert time.monotonic() - asked < 15
    assert said.rstrip().endswith("stopped")
    assert not any(lives(pid) for pid in pids)

    reset = subprocess.run([sys.executable, "-m", "stack", "reset"], env=up.environ, check=False)
    assert reset.returncode == 0
    assert not up.home.exists()

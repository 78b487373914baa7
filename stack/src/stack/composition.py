"""What `make up` runs, as a value: the environment in, every process with its environment out. Pure; read it first."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from stack.certificates import Identity
from stack.home import Secrets
from stack.ports import LOOPBACK
from stack.roles import KINDS, SERVICES, role_url

_GRPC_PORTS = {"gateway": 50050, "generation": 50051, "billing": 50052, "analytics": 50053}
_OPS_PORTS = {"gateway": 9460, "generation": 9461, "billing": 9462, "analytics": 9463}
_HTTP_PORTS = {"gateway": 8080}
_SANDBOX_PORT = 8090
_REPLICA_STEP = 100
"""The second of a service listens this much above the first, and so on."""
_MOST_REPLICAS = 9
DATABASE_NAMES = {"owner": "MIGRATION_DATABASE_URL", "requests": "DATABASE_URL", "worker": "WORKER_DATABASE_URL"}
_IDENTITY_NAMES = ("TLS_CERT_FILE", "TLS_KEY_FILE", "TLS_CA_FILE")
_CALL_TABLE = Path(__file__).resolve().parents[3] / "charts/pismo/files/call-table.yaml"
_SECRET_NAMES = ("ENCRYPTION_KEYS", "TELEGRAM_BOT_TOKEN", "TELEGRAM_WEBHOOK_SECRET")
_DRAIN_SECONDS = 7
"""What a service may use of the 15 s that all have to stop."""


class PlanFault(Exception):
    """Every fault of the environment, one a line; each names its variable."""


@dataclass(frozen=True)
class Replica:
    """One process of a service."""

    service: str
    name: str
    grpc_port: int
    environment: dict[str, str]
    identity: Identity | None
    """By which it speaks with others; None without mTLS."""


@dataclass(frozen=True)
class Plan:
    """Everything that runs beside the stores."""

    replicas: tuple[Replica, ...]
    sandbox: dict[str, str] | None
    """The sandbox's environment; None when another Bot API server is used."""
    front: str
    """What a person opens: the sandbox's page, or which bot on which server."""
    settings: dict[str, str]
    """Every variable that was set, for the `env` file."""
    tls_folder: Path | None
    """Where every service's identity must be before any starts; None without mTLS."""
    ports: dict[int, str] = field(default_factory=dict)
    """Every port that must be free, with the variable that moves it."""

    def replicas_of(self, service: str) -> tuple[Replica, ...]:
        return tuple(replica for replica in self.replicas if replica.service == service)


def given(environ: Mapping[str, str], name: str) -> str | None:
    """A variable's value, or its file's where NAME_FILE names one; an empty one counts as not set."""
    if value := environ.get(name):
        return value
    if path := environ.get(f"{name}_FILE"):
        return Path(path).read_text().strip()
    return None


def compose(environ: Mapping[str, str], secrets: Secrets, folder: Path, server_url: str, redis_url: str) -> Plan:
    """The plan for this environment, whose own variables always win. Raises PlanFault with all its faults.

    `server_url` is a superuser's URL of the Postgres server, `folder` is PISMO_HOME.
    """
    return _Composer(environ, secrets, folder, server_url, redis_url).plan()


class _Composer:
    def __init__(
        self, environ: Mapping[str, str], secrets: Secrets, folder: Path, server_url: str, redis_url: str
    ) -> None:
        self.environ = environ
        self.secrets = secrets
        self.folder = folder
        self.server_url = server_url
        self.redis_url = redis_url
        self.faults: list[str] = []
        self.ports: dict[int, str] = {}

    def plan(self) -> Plan:
        replicas = {service: self._replica_ports(service) for service in SERVICES}
        sandbox_port = self._port("SANDBOX_PORT", _SANDBOX_PORT)
        tls_folder = self._tls_folder()
        in_sandbox = not (given(self.environ, "TELEGRAM_BOT_TOKEN") or self.environ.get("TELEGRAM_API_URL"))
        if in_sandbox:
            self._claim(sandbox_port, "SANDBOX_PORT")
        if self.faults:
            raise PlanFault("\n".join(self.faults))
        page = f"http://{LOOPBACK}:{sandbox_port}"
        shared = self._shared(replicas, page if in_sandbox else None)
        if tls_folder:
            shared |= self._unless_given({"CALL_TABLE_FILE": str(_CALL_TABLE)})
        identities = {service: Identity.of(service, tls_folder) for service in SERVICES} if tls_folder else {}
        databases = {service: self._databases(service) for service in SERVICES}
        first_ports = {name: value for service in SERVICES for name, value in replicas[service][0].items()}
        settings = shared | {"SANDBOX_PORT": str(sandbox_port)} | first_ports
        own = {service: databases[service] | _shown_by(service, identities.get(service)) for service in SERVICES}
        for each in own.values():
            settings |= each
        inherited = {
            name: value
            for name, value in self.environ.items()
            # Of whole servers; each service gets its own roles' URLs only.
            if name not in DATABASE_NAMES.values() and name.removesuffix("_FILE") not in DATABASE_NAMES.values()
        }
        return Plan(
            replicas=tuple(
                Replica(
                    service=service,
                    name=service if number == 1 else f"{service}-{number}",
                    grpc_port=int(ports[f"{service.upper()}_GRPC_PORT"]),
                    environment=inherited
                    | shared
                    | first_ports
                    | own[service]
                    | ports
                    | {"INSTANCE": f"{service}-{number}"},
                    identity=identities.get(service),
                )
                for service in SERVICES
                for number, ports in enumerate(replicas[service], start=1)
            ),
            sandbox=inherited | self._sandbox(sandbox_port) if in_sandbox else None,
            front=page if in_sandbox else self._bot(),
            settings={
                name: value
                for name, value in settings.items()
                # What the user keeps elsewhere is not written down here.
                if not (name in _SECRET_NAMES and given(self.environ, name))
            },
            tls_folder=tls_folder,
            ports=self.ports,
        )

    def _replica_ports(self, service: str) -> list[dict[str, str]]:
        """The port variables of each replica of a service."""
        wanted = {"GRPC_PORT": _GRPC_PORTS, "OPS_PORT": _OPS_PORTS, "HTTP_PORT": _HTTP_PORTS}
        firsts = {
            f"{service.upper()}_{name}": self._port(f"{service.upper()}_{name}", defaults[service])
            for name, defaults in wanted.items()
            if service in defaults
        }
        replicas = []
        for number in range(self._count(service)):
            ports = {name: first + number * _REPLICA_STEP for name, first in firsts.items()}
            for name, port in ports.items():
                self._claim(port, name)
            replicas.append({name: str(port) for name, port in ports.items()})
        return replicas

    def _count(self, service: str) -> int:
        text = self.environ.get(service.upper()) or "1"
        if text.isdecimal() and 1 <= int(text) <= _MOST_REPLICAS:
            return int(text)
        self.faults.append(f"{service.upper()}={text}: how many to run, from 1 to {_MOST_REPLICAS}")
        return 1

    def _port(self, name: str, default: int) -> int:
        text = self.environ.get(name) or str(default)
        if text.isdecimal() and 1 <= int(text) <= 65_535:
            return int(text)
        self.faults.append(f"{name}={text}: a port is a number from 1 to 65535")
        return default

    def _tls_folder(self) -> Path | None:
        for name in _IDENTITY_NAMES:
            for given_name in (name, *(f"{service.upper()}_{name}" for service in SERVICES)):
                if self.environ.get(given_name):
                    self.faults.append(
                        f"{given_name}: `make up` makes the certificates itself: unset it, and set TLS=1"
                    )
        text = self.environ.get("TLS") or "0"
        if text not in ("0", "1"):
            self.faults.append(f"TLS={text}: 1 for mTLS between the services, 0 for none")
        return self.folder / "tls" if text == "1" else None

    def _claim(self, port: int, name: str) -> None:
        if port in self.ports:
            self.faults.append(f"{name} and {self.ports[port]} both mean port {port}: set one of them to another")
        self.ports[port] = name

    def _shared(self, replicas: dict[str, list[dict[str, str]]], sandbox_url: str | None) -> dict[str, str]:
        """What every service gets."""
        settings = {
            "REDIS_URL": self.redis_url,
            "ENCRYPTION_KEYS": self.secrets.encryption_keys,
            "TELEGRAM_WEBHOOK_SECRET": self.secrets.telegram_webhook_secret,
            "TELEGRAM_BOT_TOKEN": self.secrets.telegram_bot_token,
            "DRAIN_SECONDS": str(_DRAIN_SECONDS),
            "OTEL_TRACES_SAMPLER": "always_on",
        }
        if sandbox_url:
            settings |= {"TELEGRAM_API_URL": sandbox_url, "SANDBOX": "1"}
        for service, each in replicas.items():
            ports = [ports[f"{service.upper()}_GRPC_PORT"] for ports in each]
            target = (
                f"localhost:{ports[0]}" if len(ports) == 1 else "ipv4:" + ",".join(f"{LOOPBACK}:{p}" for p in ports)
            )
            settings[f"{service.upper()}_TARGET"] = target
        return self._unless_given(settings)

    def _databases(self, service: str) -> dict[str, str]:
        urls = {}
        for kind in KINDS:
            role = f"{service}_{kind}"
            urls[f"{service.upper()}_{DATABASE_NAMES[kind]}"] = role_url(
                self.server_url, role, self.secrets.role_passwords[role]
            )
        return self._unless_given(urls)

    def _sandbox(self, port: int) -> dict[str, str]:
        state_file = {"SANDBOX_STATE_FILE": str(self.folder / "sandbox" / "state")}
        return {"SANDBOX_PORT": str(port)} | self._unless_given(state_file)

    def _bot(self) -> str:
        server = self.environ.get("TELEGRAM_API_URL") or "https://api.telegram.org"
        token = given(self.environ, "TELEGRAM_BOT_TOKEN") or self.secrets.telegram_bot_token
        return f"{server} (bot {token.partition(':')[0]})"

    def _unless_given(self, settings: dict[str, str]) -> dict[str, str]:
        """The user's own value where there is one; nothing where a NAME_FILE is to be read instead."""
        return {
            name: self.environ.get(name) or value
            for name, value in settings.items()
            if self.environ.get(name) or not self.environ.get(f"{name}_FILE")
        }


def _shown_by(service: str, identity: Identity | None) -> dict[str, str]:
    if identity is None:
        return {}
    return {f"{service.upper()}_{name}": str(path) for name, path in zip(_IDENTITY_NAMES, identity, strict=True)}

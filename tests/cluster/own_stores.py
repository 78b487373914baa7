"""Postgres and Redis beside the release, and the Secrets that an operator makes for them."""

import base64
import os
from string import Template
from typing import Any

from cluster.release import POSTGRES_IMAGE, REDIS_IMAGE, ROOT, SERVICES, CommandFailed, Namespace, secret

KINDS = ("owner", "requests", "worker")


class OwnStores:
    """A Postgres with Pismo's roles and a Redis, in a namespace of their own."""

    def __init__(self, namespace: Namespace) -> None:
        self.namespace = namespace
        self._passwords = {f"{service}_{kind}": os.urandom(12).hex() for service in SERVICES for kind in KINDS}
        self._password = os.urandom(12).hex()

    async def start(self) -> None:
        images = {"POSTGRES_IMAGE": POSTGRES_IMAGE, "REDIS_IMAGE": REDIS_IMAGE, "PASSWORD": self._password}
        manifest = Template((ROOT / "tests/cluster/stores.yaml").read_text()).substitute(images)
        await self.namespace.kubectl("apply", "--server-side", "-f", "-", stdin=manifest)
        try:
            await self.namespace.kubectl("wait", "--for=condition=Ready", "pod/postgres", "pod/redis", "--timeout=120s")
        except CommandFailed as failure:
            raise CommandFailed(
                f"{failure}\nare POSTGRES_IMAGE={POSTGRES_IMAGE}, REDIS_IMAGE={REDIS_IMAGE} to be had?"
            ) from None
        variables = [f"--set={role}={password}" for role, password in self._passwords.items()]
        await self.sql((ROOT / "k8s/postgres-roles.sql").read_text(), *variables)

    async def sql(self, script: str, *variables: str) -> str:
        """What psql prints of a script, run as the superuser."""
        psql = ("exec", "-i", "postgres", "--", "psql", "-q", "-U", "postgres", "-d", "pismo", *variables)
        return await self.namespace.kubectl(*psql, stdin=script)

    def url(self, role: str) -> str:
        return f"postgresql://{role}:{self._passwords[role]}@postgres.{self.namespace.name}.svc:5432/pismo"

    def secrets(self) -> list[dict[str, Any]]:
        """`own-<service>` and `own-<service>-migration` for each service."""
        encryption_keys = f"1:{base64.b64encode(os.urandom(32)).decode()}"
        made = []
        for service in SERVICES:
            variables = {
                "DATABASE_URL": self.url(f"{service}_requests"),
                "WORKER_DATABASE_URL": self.url(f"{service}_worker"),
            }
            if service in ("gateway", "generation"):
                variables["REDIS_URL"] = f"redis://:{self._password}@redis.{self.namespace.name}.svc:6379/0"
                variables["ENCRYPTION_KEYS"] = encryption_keys
            if service == "gateway":
                variables["TELEGRAM_BOT_TOKEN"] = f"1000000002:{os.urandom(18).hex()[:35]}"
            made.append(secret(f"own-{service}", variables))
            made.append(secret(f"own-{service}-migration", {"MIGRATION_DATABASE_URL": self.url(f"{service}_owner")}))
        return made

    @staticmethod
    def values() -> list[str]:
        """What tells the chart to use these Secrets."""
        kinds = {"existingSecret": "", "migrationSecret": "-migration"}
        return [f"{service}.{value}=own-{service}{end}" for service in SERVICES for value, end in kinds.items()]

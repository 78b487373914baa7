"""One embedded store alone in the foreground, as a container runs it: the stores of the chart's demo.

It needs no root and writes only to its data folder and /tmp. SIGTERM stops it with its data left clean.
"""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from stack.composition import given
from stack.postgres import EmbeddedPostgres
from stack.process import Program, running
from stack.redis import EmbeddedRedis
from stack.roles import ROLES, bootstrap

_GRACE_SECONDS = 25.0
"""Less than the 30 s that Kubernetes gives a pod."""
_PASSWORD_OF = {role: f"{role.upper()}_PASSWORD" for role in ROLES}


class DemoFault(Exception):
    """Every fault of the environment, one a line; each names its variable."""


async def keep_postgres(environ: Mapping[str, str], data_dir: Path, listen: str, port: int) -> None:
    """Postgres until SIGTERM, with the database, roles and schemas of every service.

    The passwords come from POSTGRES_PASSWORD, which is kept with the data, and from GATEWAY_OWNER_PASSWORD and so on,
    which each start sets anew. Until they are set only loopback is listened to, so nobody meets half of it. Raises
    DemoFault, PostgresFault, RuntimeError when it does not start, and what `bootstrap` raises.
    """
    secrets = _required(environ, ["POSTGRES_PASSWORD", *_PASSWORD_OF.values()])
    password = secrets["POSTGRES_PASSWORD"]
    prepared = EmbeddedPostgres(data_dir, port, password=password)
    public = EmbeddedPostgres(data_dir, port, listen=listen, password=password)

    async def work() -> None:
        async with _running(prepared.program()):
            await bootstrap(prepared.url, {role: secrets[name] for role, name in _PASSWORD_OF.items()})
        await _keep(public.program(), listen, port)

    await _until_told(work())


async def keep_redis(environ: Mapping[str, str], data_dir: Path, listen: str, port: int) -> None:
    """Redis until SIGTERM; its password comes from REDIS_PASSWORD. Raises DemoFault, RuntimeError."""
    password = _required(environ, ["REDIS_PASSWORD"])["REDIS_PASSWORD"]
    await _until_told(_keep(EmbeddedRedis(data_dir, port, listen=listen, password=password).program(), listen, port))


def _required(environ: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    """The values of variables, each from NAME or the file that NAME_FILE names."""
    values, faults = {}, []
    for name in names:
        try:
            values[name] = given(environ, name) or ""
        except OSError as error:
            faults.append(f"{name}_FILE: {error}")
        else:
            if not values[name]:
                faults.append(f"{name} or {name}_FILE must be set")
    if faults:
        raise DemoFault("\n".join(faults))
    return values


async def _keep(program: Program, listen: str, port: int) -> None:
    async with _running(program):
        print(f"ready: {program.name} on {listen}, port {port}", flush=True)
        await asyncio.Event().wait()


@asynccontextmanager
async def _running(program: Program) -> AsyncIterator[None]:
    async with running(
        program,
        _GRACE_SECONDS,
        on_output=lambda _, line: print(line.decode(errors="replace"), flush=True),
        on_event=lambda name, text: print(f"{name} {text}", file=sys.stderr, flush=True),
    ):
        yield


async def _until_told(work: Coroutine[None, None, None]) -> None:
    """Do the work until SIGINT or SIGTERM; what it raises is raised."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for which in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(which, told.set)
    working, waiting = asyncio.create_task(work), asyncio.create_task(told.wait())
    await asyncio.wait({working, waiting}, return_when=asyncio.FIRST_COMPLETED)
    for task in (working, waiting):
        task.cancel()
    with suppress(asyncio.CancelledError):
        await working

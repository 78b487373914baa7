"""The command line: `python -m stack up | reset | postgres | redis | backup | restore`."""

import argparse
import asyncio
import os
import sys
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg

from stack.backup import BackupFault, Retention, back_up, expire, keys_of, role_urls
from stack.bucket import Bucket
from stack.composition import given
from stack.demo import DemoFault, keep_postgres, keep_redis
from stack.depots import Depot, DepotFault, Folder
from stack.home import Home, HomeFault
from stack.postgres import PostgresFault
from stack.restore import Target, audit_between_services, audit_billing, load, migrate
from stack.sealing import CannotOpen
from stack.supervisor import up


def main() -> int:
    """Gives the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m stack",
        description="Pismo on one machine. PISMO_HOME (default .pismo) is the folder where it keeps everything.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="run stores, services and sandbox in the foreground until Ctrl-C")
    commands.add_parser("reset", help="delete PISMO_HOME: data, secrets and logs")
    for name, port, keeps in (("postgres", 5432, "every service's roles and schemas"), ("redis", 6379, "a password")):
        store = commands.add_parser(name, help=f"run this embedded store alone, with {keeps}, until SIGTERM")
        store.add_argument("--data", type=Path, required=True, help="the folder of its data")
        store.add_argument("--listen", default="127.0.0.1", help="the address to listen on (default %(default)s)")
        store.add_argument("--port", type=int, default=port, help="default %(default)s")
    depot = "FOLDER | s3://BUCKET/PREFIX"
    backup = commands.add_parser(
        "backup",
        help="dump every service's schema into a folder or a bucket, encrypted, people's keys apart from their texts",
        description="Reads BACKUP_KEYS and each service's <SERVICE>_MIGRATION_DATABASE_URL, and AWS_* for a bucket.",
    )
    backup.add_argument("--to", required=True, metavar=depot, help="where all backups are")
    backup.add_argument("--texts-days", type=int, default=30, help="how long texts are kept (default %(default)s)")
    backup.add_argument(
        "--keys-days", type=int, default=7, help="how long people's keys are kept (default %(default)s)"
    )
    restore = commands.add_parser(
        "restore",
        help="load a backup into empty databases, migrate and audit it",
        description="Reads BACKUP_KEYS and, for the roles' passwords and the databases' names, each service's "
        "<SERVICE>_DATABASE_URL, _WORKER_DATABASE_URL and _MIGRATION_DATABASE_URL; their host does not count. "
        "AWS_* for a bucket.",
    )
    restore.add_argument("--from", dest="depot", required=True, metavar=depot, help="where backups are")
    restore.add_argument("--at", metavar="NAME", help="which one, as below texts/ (default: the newest)")
    restore.add_argument("--to", metavar="URL", help="a superuser of the server (default: RESTORE_SERVER_URL)")
    restore.add_argument(
        "--load-only", action="store_true", help="call no service: the release migrates, and audits billing"
    )
    arguments = parser.parse_args()
    match arguments.command:
        case "up":
            return asyncio.run(up(os.environ))
        case "reset":
            return _reset()
        case "backup":
            return _faults_said(_backup(arguments))
        case "restore":
            return _faults_said(_restore(arguments))
        case name:
            return _keep(name, arguments)


def _reset() -> int:
    home = Home.of(os.environ)
    try:
        home.forget()
    except HomeFault as fault:
        print(f"make reset: {fault}", file=sys.stderr)
        return 1
    print(f"forgotten: {home.folder}")
    return 0


async def _backup(arguments: argparse.Namespace) -> int:
    retention = Retention(timedelta(days=arguments.texts_days), timedelta(days=arguments.keys_days))
    owner_urls = {role.removesuffix("_owner"): url for role, url in role_urls(os.environ, ["owner"]).items()}
    depot, now = _depot(arguments.to), datetime.now(UTC)
    print(f"backed up: {await back_up(owner_urls, keys_of(os.environ), depot, now)}")
    for expired in expire(depot, retention, now):
        print(f"deleted: {expired}")
    return 0


async def _restore(arguments: argparse.Namespace) -> int:
    server_url = arguments.to or given(os.environ, "RESTORE_SERVER_URL")
    if not server_url:
        raise BackupFault("--to or RESTORE_SERVER_URL must say which server to restore into")
    target = Target.of(server_url, role_urls(os.environ))
    loaded = await load(_depot(arguments.depot), arguments.at, keys_of(os.environ), target)
    print(f"loaded: texts of {loaded.texts} with the keys of {loaded.keys}")
    if loaded.left_out:
        print(f"left out: {loaded.left_out} rows of people who were erased in between")
    violations = []
    if not arguments.load_only:
        migrate(target)
        violations += audit_billing(target)
    violations += await audit_between_services(target)
    for violation in violations:
        print(violation)
    print(f"violations: {len(violations)}")
    return 1 if violations else 0


def _depot(where: str) -> Depot:
    return Bucket.at(where, os.environ) if "://" in where else Folder(Path(where))


def _faults_said(work: Coroutine[None, None, int]) -> int:
    try:
        return asyncio.run(work)
    except (BackupFault, DepotFault, CannotOpen, OSError, TimeoutError, asyncpg.PostgresError) as fault:
        print(f"stack: {fault}", file=sys.stderr)
        return 1


def _keep(name: str, arguments: argparse.Namespace) -> int:
    keep = keep_postgres if name == "postgres" else keep_redis
    try:
        asyncio.run(keep(os.environ, arguments.data, arguments.listen, arguments.port))
    except (DemoFault, PostgresFault, RuntimeError, OSError, asyncpg.PostgresError) as fault:
        print(f"stack {name}: {fault}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""`make restore-drill`: the whole system loses its database while it runs, and gets it back from a backup.

People write letters, a backup is made, the database is dropped under the running services and restored: every letter of
before must open with the same text, by the same processes, which then write new ones. The last line says how much time
such a loss takes away, and for how long nobody could read a letter. With `--bucket` backups go where S3 is spoken.
"""

import asyncio
import base64
import os
import secrets
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import asyncpg
import grpc
from pismo.generation.v1 import generation_service_pb2, generation_service_pb2_grpc
from s3_server import BUCKET, s3_server
from stack.home import Home
from stack.postgres import SUPERUSER
from stack.roles import DATABASE, database_url, role_url
from whole_system import System, running

SECONDS = 60.0
Letter = tuple[str, str]
"""The ids of a person and of their letter."""


async def main() -> int:
    with tempfile.TemporaryDirectory(prefix="pismo-drill-") as folder, ExitStack() as held:
        backups, access = f"{folder}/backups", {}
        if "--bucket" in sys.argv:
            backups, access = f"s3://{BUCKET}/drill", held.enter_context(s3_server())
        async with running(Path(folder) / "home", OFFLINE_WRITER_SECONDS="0.5") as system:
            return await drill(system, backups, access)


async def drill(system: System, backups: str, access: dict[str, str]) -> int:
    """Gives the exit code."""
    anna, boris, vera = system.person(), system.person("en"), system.person()
    for person in (anna, boris):
        await person.gets_ready()
        await person.asks_for_a_letter()
        await person.read("how is it?", SECONDS)
    before = {letter: await text_of(system, letter) for letter in await letters_in(system)}
    say(f"before: {len(before)} letters")

    access = access | {"BACKUP_KEYS": f"drill:{base64.b64encode(secrets.token_bytes(32)).decode()}"}
    backup_began = time.monotonic()
    await stack(system, access, "backup", "--to", backups)
    dropped = time.monotonic()
    await drop_database(system)
    say("the database is gone")
    violations = await stack(system, access, "restore", "--from", backups)
    changed = [letter for letter, text in before.items() if await text_of(system, letter) != text]
    restored = time.monotonic()

    await vera.gets_ready()
    for person in (anna, vera):
        await person.asks_for_a_letter()
        await person.read("how is it?", SECONDS, times=2 if person is anna else 1)
    after = await letters_in(system)
    say(f"after: {len(after)} letters, {len(changed)} with another text")

    as_it_should_be = (
        len(before) == 2 and all(before.values()) and not changed and before.keys() < after and len(after) == 4
    )
    say(
        f"restored: rpo_seconds={dropped - backup_began:.1f} rto_seconds={restored - dropped:.1f} "
        f"violations={violations + len(changed) + len(before.keys() - after)}"
    )
    return 0 if as_it_should_be and not violations else 1


def say(line: str) -> None:
    print(line, flush=True)


async def letters_in(system: System) -> set[Letter]:
    connection = await asyncpg.connect(database_url(server_url(system), DATABASE))
    try:
        rows = await connection.fetch("SELECT person_id, letter_id FROM generation.letters")
    finally:
        await connection.close()
    return {(str(row["person_id"]), str(row["letter_id"])) for row in rows}


async def text_of(system: System, letter: Letter) -> str:
    """What generation answers, once it has found its way back to the database; empty if it does not open the letter."""
    person_id, letter_id = letter
    request = generation_service_pb2.GetLetterRequest(person_id=person_id, letter_id=letter_id)
    deadline = time.monotonic() + SECONDS
    async with grpc.aio.insecure_channel(system.target("generation")) as channel:
        service = generation_service_pb2_grpc.LetterServiceStub(channel)
        while True:
            try:
                answer = await service.GetLetter(request, timeout=5)
                return str(answer.letter.text)
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.NOT_FOUND or time.monotonic() > deadline:
                    return ""
            await asyncio.sleep(0.1)


async def stack(system: System, access: dict[str, str], *arguments: str) -> int:
    """Runs one of the stack's commands as an operator would; gives the number of violations it speaks of."""
    environment = system.env | access | {"RESTORE_SERVER_URL": server_url(system)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "stack", *arguments, env=os.environ | environment, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    lines = output.decode().splitlines()
    for line in lines:
        say(f"  {line}")
    found = [int(line.removeprefix("violations: ")) for line in lines if line.startswith("violations: ")]
    if process.returncode and not any(found):
        raise SystemExit(f"python -m stack {arguments[0]} failed with {process.returncode}")
    return sum(found)


async def drop_database(system: System) -> None:
    connection = await asyncpg.connect(server_url(system))
    await connection.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")
    await connection.close()


def server_url(system: System) -> str:
    """The superuser's."""
    return role_url(
        system.env["BILLING_DATABASE_URL"], SUPERUSER, Home(system.home).secrets().postgres_password, SUPERUSER
    )


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))

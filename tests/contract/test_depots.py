"""What a backup may expect of the place it is put into, be it a folder or a bucket."""

import os
import socket
import ssl
import threading
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import obstore
import pytest
from obstore.store import ObjectStore
from s3_server import BUCKET, ask, s3_server
from stack.backup import Retention, expire
from stack.bucket import Bucket, Patience
from stack.certificates import Authority
from stack.depots import Depot, DepotFault, Folder, name_of

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MONDAY, TUESDAY, FRIDAY = (name_of(NOON + timedelta(days=day)) for day in (1, 2, 5))


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, str]]:
    with s3_server() as variables:
        yield variables


@pytest.fixture
def bucket(s3: dict[str, str], prefix: str, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """A part of the bucket that no other test knows."""
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    return Bucket.at(f"s3://{BUCKET}/{prefix}", s3)


@pytest.fixture
def prefix() -> str:
    return f"{uuid.uuid4()}/pismo"


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "backups")


@pytest.fixture(params=["folder", "bucket"])
def depot(request: pytest.FixtureRequest) -> Depot:
    found: Depot = request.getfixturevalue(request.param)
    return found


def put(depot: Depot, kind: str, name: str, *, finished: bool = True, **files: bytes) -> None:
    with depot.alone():
        depot.begin(kind, name)
        for service, content in files.items():
            depot.write(kind, name, service, [content])
        if finished:
            depot.finish(kind, name)


def read(depot: Depot, kind: str, name: str, service: str) -> bytes:
    with depot.read(kind, name, service) as file:
        return file.read()


def test_there_is_nothing_to_begin_with(depot: Depot) -> None:
    assert depot.names("texts") == []


@pytest.mark.parametrize("sizes", [[], [0], [1], [3, 0, 5], [1 << 20] * 17])
def test_what_was_written_is_read(depot: Depot, sizes: list[int]) -> None:
    pieces = [bytes([number]) * size for number, size in enumerate(sizes)]
    depot.begin("texts", MONDAY)
    depot.write("texts", MONDAY, "billing", iter(pieces))
    depot.finish("texts", MONDAY)
    assert read(depot, "texts", MONDAY, "billing") == b"".join(pieces)


def test_a_file_is_read_from_its_start_in_the_sizes_that_are_asked_for(depot: Depot) -> None:
    content = bytes(range(256)) * (9 << 12)  # more than is fetched at once
    put(depot, "texts", MONDAY, billing=content)
    with depot.read("texts", MONDAY, "billing") as file:
        found = [file.read(size) for size in (1, 100, 1 << 20, len(content), 1)]
    assert [len(each) for each in found] == [1, 100, 1 << 20, len(content) - 101 - (1 << 20), 0]
    assert b"".join(found) == content


def test_sets_are_listed_oldest_first_and_each_kind_apart(depot: Depot) -> None:
    for name in (TUESDAY, FRIDAY, MONDAY):
        put(depot, "texts", name, billing=b"x", gateway=b"y")
    put(depot, "keys", TUESDAY, generation=b"z")
    assert depot.names("texts") == [MONDAY, TUESDAY, FRIDAY]
    assert depot.names("keys") == [TUESDAY]


def test_a_set_is_there_only_when_it_is_finished(depot: Depot) -> None:
    put(depot, "texts", MONDAY, billing=b"x", finished=False)
    assert depot.names("texts") == []
    depot.finish("texts", MONDAY)
    assert depot.names("texts") == [MONDAY]


def test_a_set_is_not_begun_twice(depot: Depot) -> None:
    put(depot, "texts", MONDAY, billing=b"first")
    with pytest.raises(DepotFault, match="already"):
        put(depot, "texts", MONDAY, billing=b"second")
    assert read(depot, "texts", MONDAY, "billing") == b"first"


def test_what_ended_halfway_is_cleared_away_and_what_is_finished_is_not(depot: Depot) -> None:
    put(depot, "texts", MONDAY, billing=b"whole")
    put(depot, "texts", TUESDAY, billing=b"half", finished=False)
    put(depot, "texts", FRIDAY, billing=b"whole")
    put(depot, "texts", TUESDAY, gateway=b"anew")
    with pytest.raises((DepotFault, OSError), match=f"texts/{TUESDAY}/billing"):
        read(depot, "texts", TUESDAY, "billing")
    assert read(depot, "texts", MONDAY, "billing") == read(depot, "texts", FRIDAY, "billing") == b"whole"


def test_a_writer_that_fails_leaves_no_file_and_says_why_itself(depot: Depot) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"x" * (10 << 20)
        raise RuntimeError("the dump broke off")

    depot.begin("texts", MONDAY)
    with pytest.raises(RuntimeError, match="broke off"):
        depot.write("texts", MONDAY, "billing", pieces())
    assert depot.names("texts") == []


def test_a_set_goes_alone(depot: Depot) -> None:
    put(depot, "texts", MONDAY, billing=b"x", gateway=b"y")
    put(depot, "texts", TUESDAY, billing=b"x")
    put(depot, "keys", MONDAY, generation=b"z")
    depot.delete("texts", MONDAY)
    assert depot.names("texts") == [TUESDAY]
    assert depot.names("keys") == [MONDAY]
    with pytest.raises((DepotFault, OSError), match=f"texts/{MONDAY}/billing"):
        read(depot, "texts", MONDAY, "billing")
    put(depot, "texts", MONDAY, billing=b"new")  # nothing of it is left
    assert read(depot, "texts", MONDAY, "billing") == b"new"


def test_texts_go_after_a_month_keys_after_a_week_and_the_newest_never(depot: Depot) -> None:
    for kind in ("texts", "keys"):
        for days in range(95, -1, -5):
            put(depot, kind, name_of(NOON - timedelta(days=days)), generation=b"x")
    expire(depot, Retention(), NOON)
    assert len(depot.names("texts")) == 7  # of 0, 5, …, 30 days
    assert len(depot.names("keys")) == 2
    deleted = expire(depot, Retention(), NOON + timedelta(days=365))
    assert len(deleted) == 7
    assert depot.names("texts") == depot.names("keys") == [name_of(NOON)]


def test_what_somebody_else_put_there_is_no_set_and_stays(
    folder: Folder, bucket: Bucket, s3: dict[str, str], prefix: str
) -> None:
    for depot in (folder, bucket):
        put(depot, "texts", MONDAY, billing=b"x")
    others = folder.path / "texts" / "of somebody's"
    others.mkdir()
    ask(s3["AWS_ENDPOINT_URL"], "PUT", f"/{BUCKET}/{prefix}/texts/of-somebodys/file", b"content")
    for depot in (folder, bucket):
        put(depot, "texts", FRIDAY, billing=b"x")
        expire(depot, Retention(), NOON + timedelta(days=365))
        assert depot.names("texts") == [FRIDAY]
    assert others.exists()
    assert b"texts/of-somebodys/file</Key>" in ask(s3["AWS_ENDPOINT_URL"], "GET", f"/{BUCKET}?prefix={prefix}")


def test_of_a_folder_only_its_owner_may_read_anything(folder: Folder) -> None:
    put(folder, "texts", MONDAY, billing=b"x")
    modes = {path.relative_to(folder.path).name: path.stat().st_mode & 0o777 for path in folder.path.rglob("*.dump")}
    assert modes == {"billing.dump": 0o600}
    assert {path.stat().st_mode & 0o777 for path in (folder.path, folder.path / "texts" / MONDAY)} == {0o700}


def test_into_a_folder_only_one_backup_writes_at_a_time(folder: Folder) -> None:
    with folder.alone(), pytest.raises(DepotFault, match="another backup is at work"), folder.alone():
        pass


def test_a_deletion_that_breaks_off_leaves_no_part_that_passes_for_a_set(
    depot: Depot, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(depot, "texts", MONDAY, billing=b"x", gateway=b"y")
    delete_objects = obstore.delete

    def delete(store: ObjectStore, paths: str | Sequence[str]) -> None:
        if not isinstance(paths, str):
            raise OSError(f"{paths} cannot be deleted")
        delete_objects(store, paths)

    def remove_tree(path: Path) -> None:
        raise OSError(f"{path} cannot be deleted")

    monkeypatch.setattr("obstore.delete", delete)
    monkeypatch.setattr("shutil.rmtree", remove_tree)
    with pytest.raises(OSError, match="cannot be deleted"):
        depot.delete("texts", MONDAY)
    assert depot.names("texts") == []


def test_into_a_bucket_two_write_at_once_and_leave_each_other_alone(bucket: Bucket) -> None:
    later = name_of(NOON + timedelta(days=1, hours=6))
    with bucket.alone(), bucket.alone():
        for name in (MONDAY, later):
            bucket.begin("texts", name)
        for name in (MONDAY, later):
            bucket.write("texts", name, "billing", [name.encode()])
        # Not before the next day is it clear that the first is no longer at work.
        bucket.begin("texts", name_of(NOON + timedelta(days=1, hours=12)))
        for name in (MONDAY, later):
            bucket.finish("texts", name)
    for name in (MONDAY, later):
        assert read(bucket, "texts", name, "billing") == name.encode()


def test_a_bucket_keeps_no_part_of_a_file_that_was_not_written_to_its_end(bucket: Bucket, s3: dict[str, str]) -> None:
    test_a_writer_that_fails_leaves_no_file_and_says_why_itself(bucket)
    assert b"<Upload>" not in ask(s3["AWS_ENDPOINT_URL"], "GET", f"/{BUCKET}?uploads")


def test_a_bucket_that_is_not_there_is_said_to_be_missing(bucket: Bucket, s3: dict[str, str]) -> None:
    missing = Bucket.at("s3://no-such-bucket/pismo", s3)
    where = f"s3://no-such-bucket/pismo at {s3['AWS_ENDPOINT_URL']}: NoSuchBucket: "
    for ask_it in (lambda: missing.names("texts"), lambda: missing.write("texts", MONDAY, "billing", [b"x"])):
        with pytest.raises(DepotFault, match=where) as raised:
            ask_it()
        assert "\n" not in str(raised.value)


def test_credentials_that_are_refused_are_said_to_be_and_not_quoted(bucket: Bucket, s3: dict[str, str]) -> None:
    ask(s3["AWS_ENDPOINT_URL"], "POST", "/moto-api/reset-auth", b"0")  # from now on moto looks who asks
    try:
        with pytest.raises(DepotFault, match=r"^s3://[^ ]+ at http://127\.0\.0\.1:\d+: InvalidAccessKeyId: ") as raised:
            bucket.names("texts")
        with pytest.raises(DepotFault, match="InvalidAccessKeyId"):
            bucket.write("texts", MONDAY, "billing", [b"x"])
    finally:
        ask(s3["AWS_ENDPOINT_URL"], "POST", "/moto-api/reset-auth", b"inf")
    assert "7719" not in str(raised.value)
    assert "\n" not in str(raised.value)


IMPATIENT = Patience(connect_seconds=1, request_seconds=0.3, retries=0)


def test_an_endpoint_that_is_not_there_is_said_to_be_out_of_reach(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        endpoint = f"http://127.0.0.1:{closed.getsockname()[1]}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    nowhere = Bucket.at("s3://backups", os.environ, IMPATIENT)
    with pytest.raises(DepotFault, match=f"^s3://backups at {endpoint}: it cannot be reached: Connection refused$"):
        nowhere.names("texts")


def test_an_endpoint_that_says_nothing_is_not_waited_for_forever(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        asked = Bucket.at("s3://backups", os.environ, IMPATIENT)
        for ask_it in (lambda: asked.names("texts"), lambda: asked.write("texts", MONDAY, "billing", [b"x"])):
            with pytest.raises(DepotFault, match=r"it does not answer in time$"):
                ask_it()


def test_without_credentials_the_variables_that_are_missing_are_named(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    # Where machines of AWS ask for theirs; here nobody answers.
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(DepotFault, match="there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
        Bucket.at("s3://backups", os.environ, IMPATIENT).names("texts")


class Answer(BaseHTTPRequestHandler):
    """What says of everything that there is no such bucket."""

    def do_GET(self) -> None:
        said = b"<Error><Code>NoSuchBucket</Code></Error>"
        self.send_response(404)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, format: str, *values: object) -> None:
        pass


def test_whom_nobody_vouches_for_is_not_talked_to(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity = Authority(tmp_path, datetime.now(UTC)).issue("gateway")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(identity.certificate, identity.key)
    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"https://127.0.0.1:{server.server_port}")
        with pytest.raises(DepotFault, match="TLS fails: InvalidCertificate, UnknownIssuer"):
            Bucket.at("s3://backups", os.environ, IMPATIENT).names("texts")
        monkeypatch.setenv("SSL_CERT_FILE", str(identity.authority))
        with pytest.raises(DepotFault, match="NoSuchBucket"):
            Bucket.at("s3://backups", os.environ, IMPATIENT).names("texts")
        server.shutdown()


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("s3://", ""),
        ("s3://id:secret-7719@backups/pismo", ""),
        ("s3://backups/pismo?key=secret-7719", ""),
        ("https://backups.example.com/secret-7719", ""),
        ("s3://[backups", ""),
        ("s3://backups/pismo/../7719", ""),
        ("s3://backups", "minio:9000"),
        ("s3://backups", "http://[::1"),
        ("s3://backups", "http://id:secret-7719@minio:9000"),
    ],
)
def test_what_cannot_be_a_bucket_is_refused_without_being_quoted(url: str, endpoint: str) -> None:
    with pytest.raises(DepotFault) as raised:
        Bucket.at(url, {"AWS_ENDPOINT_URL": endpoint})
    assert "7719" not in str(raised.value)

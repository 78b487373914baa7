"""The webhook answers 200 when an update is kept, and only then."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from gateway.inbox import Inbox
from gateway.updates import NotAnUpdate, is_update
from gateway.webhook import MAX_BODY_BYTES, webhook_app, webhook_path
from pydantic import SecretStr

HEADER = "X-Telegram-Bot-Api-Secret-Token"
UPDATE = {"update_id": 1, "message": {"text": "привет"}}


class KeptUpdates(Inbox):
    """Keeps updates in a list, when it can."""

    def __init__(self) -> None:
        self.kept: list[Any] = []
        self.away = False

    async def receive(self, updates: Sequence[Any]) -> None:
        if self.away:
            raise ConnectionRefusedError
        if not all(map(is_update, updates)):
            raise NotAnUpdate
        self.kept += updates


@pytest.fixture
def inbox() -> KeptUpdates:
    return KeptUpdates()


@pytest.fixture
async def client(inbox: KeptUpdates) -> AsyncIterator[TestClient[Any, Any]]:
    app = webhook_app(inbox, "/hook", [SecretStr("new-secret"), SecretStr("old-secret")])
    async with TestClient(TestServer(app)) as opened:
        yield opened


@pytest.mark.parametrize("secret", ["new-secret", "old-secret"])
async def test_an_update_with_either_secret_is_kept(
    client: TestClient[Any, Any], inbox: KeptUpdates, secret: str
) -> None:
    response = await client.post("/hook", json=UPDATE, headers={HEADER: secret})
    assert response.status == 200
    assert inbox.kept == [UPDATE]


@pytest.mark.parametrize("headers", [{}, {HEADER: ""}, {HEADER: "new-secre"}, {HEADER: "new-secret,old-secret"}])
async def test_whoever_does_not_know_a_secret_is_turned_away(
    client: TestClient[Any, Any], inbox: KeptUpdates, headers: dict[str, str]
) -> None:
    assert (await client.post("/hook", json=UPDATE, headers=headers)).status == 403
    assert inbox.kept == []


async def test_while_the_database_is_away_telegram_is_asked_to_keep_the_update(
    client: TestClient[Any, Any], inbox: KeptUpdates
) -> None:
    inbox.away = True
    assert (await client.post("/hook", json=UPDATE, headers={HEADER: "new-secret"})).status == 503
    inbox.away = False
    assert (await client.post("/hook", json=UPDATE, headers={HEADER: "new-secret"})).status == 200


async def test_a_body_over_the_bound_is_refused(client: TestClient[Any, Any], inbox: KeptUpdates) -> None:
    body = b'{"update_id": 1, "x": "' + b"x" * MAX_BODY_BYTES + b'"}'
    assert (await client.post("/hook", data=body, headers={HEADER: "new-secret"})).status == 413
    assert inbox.kept == []


@pytest.mark.parametrize("body", [b"", b"not json", b"[]", b'{"message": {}}'])
async def test_what_is_no_update_is_refused(client: TestClient[Any, Any], inbox: KeptUpdates, body: bytes) -> None:
    assert (await client.post("/hook", data=body, headers={HEADER: "new-secret"})).status == 400
    assert inbox.kept == []


async def test_nothing_else_is_there(client: TestClient[Any, Any]) -> None:
    assert (await client.post("/", json=UPDATE, headers={HEADER: "new-secret"})).status == 404
    assert (await client.get("/hook", headers={HEADER: "new-secret"})).status == 405


@pytest.mark.parametrize(
    ("url", "path"), [("https://example.org/a/b", "/a/b"), ("https://example.org", "/"), ("https://x.org/?q=1", "/")]
)
def test_the_webhook_stands_where_its_url_says(url: str, path: str) -> None:
    assert webhook_path(url) == path

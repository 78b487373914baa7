"""Something that speaks S3, in this process."""

import logging
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from moto.server import ThreadedMotoServer

BUCKET = "backups"
VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_ENDPOINT_URL")


@contextmanager
def s3_server() -> Iterator[dict[str, str]]:
    """With an empty bucket, BUCKET; gives the variables that lead there."""
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # it says every request
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        ask(endpoint, "PUT", f"/{BUCKET}")
        # Proxies are asked by the client that is tested, as everywhere.
        yield dict(zip(VARIABLES, ("id-7719", "secret-7719", "us-east-1", endpoint), strict=True)) | {"NO_PROXY": host}
    finally:
        server.stop()


def ask(endpoint: str, method: str, path: str, body: bytes = b"") -> bytes:
    """One request, not signed."""
    plain = {"Content-Type": "text/plain"}
    request = urllib.request.Request(endpoint + path, body, plain, method=method)  # noqa: S310
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=5) as response:
        answer: bytes = response.read()
        return answer

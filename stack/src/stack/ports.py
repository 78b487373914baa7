"""TCP addresses and ports of this machine."""

import random
import socket

LOOPBACK = "127.0.0.1"


def way_to(listen: str) -> str:
    """The address, as URLs have it, at which this machine reaches a server of its own that listens on `listen`."""
    if listen in ("0.0.0.0", "::"):  # noqa: S104
        return LOOPBACK
    return f"[{listen}]" if ":" in listen else listen


def is_free(port: int) -> bool:
    """Whether a server could listen on this port now."""
    with socket.socket() as probe:
        # As servers do: connections that linger in TIME_WAIT do not stand in the way, a listener does.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def free_port() -> int:
    """A port nobody listens on, below those that the kernel gives to outgoing connections.

    Above them a client that keeps trying to reach a dead server may be given that very port, connect to itself, and so
    keep the server from coming back.
    """
    while not is_free(port := random.randint(15_000, 30_000)):  # noqa: S311
        pass
    return port

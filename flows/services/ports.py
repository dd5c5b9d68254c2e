"""Ports on loopback."""

from __future__ import annotations

import socket

HOST = "127.0.0.1"


def is_free(port: int) -> bool:
    """Whether a server could listen there now; connections that are still closing do not count."""
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((HOST, port))
        except OSError:
            return False
    return True


def choose(wanted: int, given: set[int]) -> int:
    """`wanted` if it is free and nobody beside us was given it, else one that the system chooses."""
    if wanted not in given and is_free(wanted):
        return wanted
    with socket.socket() as any_port:
        any_port.bind((HOST, 0))
        found = any_port.getsockname()[1]
    return found if found not in given else choose(wanted, given)

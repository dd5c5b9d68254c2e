"""Ports on loopback."""

from __future__ import annotations

import socket
import sys

HOST = "127.0.0.1"
# ports that this process has been given: other `up` of this machine see it, and it ends with the process
_CLAIMS: dict[int, socket.socket] = {}


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
    """`wanted` if it is free and nobody beside us was given it, else one that the system chooses.

    A server takes seconds until it listens: another `up` that starts meanwhile must not take its port, and must not
    take the answer of the other's server for its own.
    """
    if wanted not in given and is_free(wanted) and claim(wanted):
        return wanted
    with socket.socket() as any_port:
        any_port.bind((HOST, 0))
        found = any_port.getsockname()[1]
    return found if found not in given and claim(found) else choose(wanted, given)


def claim(port: int) -> bool:
    """Whether no other process of this machine has been given the port; it is then ours until we end."""
    if port in _CLAIMS or sys.platform != "linux":
        return True
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        made.bind(f"\0visionmill-port-{port}")  # an abstract name: no file that could stay
    except OSError:
        made.close()
        return False
    _CLAIMS[port] = made
    return True

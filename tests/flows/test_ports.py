"""Ports on loopback: what one process was given, no other is."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from flows.services import ports

ASK = "import sys; from flows.services import ports; print(ports.choose(int(sys.argv[1]), set()), flush=True); input()"


def free() -> int:
    with socket.socket() as some:
        some.bind((ports.HOST, 0))
        return int(some.getsockname()[1])


@pytest.mark.skipif(sys.platform != "linux", reason="ports are claimed by abstract names, which Linux alone has")
def test_two_that_start_at_once_get_two_ports() -> None:
    wanted = free()
    started = [subprocess.Popen([sys.executable, "-c", ASK, str(wanted)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                text=True) for _ in range(3)]
    try:
        given = [int(one.stdout.readline()) for one in started if one.stdout]
        assert len(set(given)) == 3 and wanted in given
    finally:
        for one in started:
            one.communicate("\n", timeout=60)
    # what a process was given is free again when it has ended
    done = subprocess.run([sys.executable, "-c", ASK, str(wanted)], input="\n", capture_output=True, text=True,
                          timeout=60)
    assert done.stdout.strip() == str(wanted)


def test_a_port_in_use_and_one_that_was_given_are_not_chosen() -> None:
    with socket.socket() as taken:
        taken.bind((ports.HOST, 0))
        taken.listen()
        number = int(taken.getsockname()[1])
        assert not ports.is_free(number) and ports.choose(number, set()) != number
    wanted = free()
    assert ports.choose(wanted, {wanted}) != wanted

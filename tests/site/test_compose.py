"""docker-compose.yaml of the team site: sound in itself, without a secret, and of one mind with conf/site/team.yaml."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tasks.base.params import read_yaml
from tasks.base.site import read_site

ROOT = Path(__file__).resolve().parents[2]
TEAM = ROOT / "conf/site/team"
# ${NAME}, ${NAME:?words}, ${NAME:-default}
VARIABLE = re.compile(r"\$\{(\w+)(?:(:[?-])([^}]*))?\}")
SERVICE_KEYS = {"image", "build", "command", "environment", "volumes", "ports", "healthcheck", "depends_on", "restart",
                "working_dir"}


def values() -> dict[str, str]:
    """What a person writes into .env."""
    names = re.findall(r"^(\w+)=", (TEAM / "env.example").read_text(), re.M)
    return {name: f"{name.lower()}-x1" for name in names}


def plain(value: Any) -> Any:
    """A YAML value without what ruamel adds, its merges (`<<`) resolved and its variables filled in."""
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    filled = values()
    return VARIABLE.sub(lambda m: filled.get(m[1], m[3] or ""), value) if isinstance(value, str) else value


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return plain(read_yaml(ROOT / "docker-compose.yaml"))


def test_docker_itself_takes_it() -> None:
    """Where a docker with compose is; elsewhere the other tests here check what it would."""
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True).returncode:
        pytest.skip("no docker with compose here: the file's essentials are checked by the other tests")
    command = [docker, "compose", "-f", str(ROOT / "docker-compose.yaml"), "config", "--format", "json"]
    missing = subprocess.run(command, capture_output=True, text=True, cwd="/")
    assert missing.returncode and "required variable" in missing.stderr
    done = subprocess.run(command, capture_output=True, text=True, cwd="/", env={**os.environ, **values()})
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout)["services"]) >= {"postgres", "s3", "mlflow", "prefect", "worker", "watch"}


def test_services_are_well_formed(compose: dict[str, Any]) -> None:
    assert {key for key in compose if not key.startswith("x-")} == {"name", "services", "volumes"}
    services = compose["services"]
    assert set(services) == {"postgres", "s3", "bucket", "mlflow", "prefect", "worker", "watch"}
    for name, service in services.items():
        assert set(service) <= SERVICE_KEYS, name
        assert re.fullmatch(r"[\w./-]+:[\w.-]+", service["image"]) and not service["image"].endswith(":latest"), name
        if "build" in service:
            stages = re.findall(r"^FROM (\S+:\S+) AS (\w+)", (ROOT / service["build"]["dockerfile"]).read_text(), re.M)
            assert service["build"]["target"] in {stage for _, stage in stages}
        assert "restart" in service
        if name != "bucket":
            assert service["healthcheck"]["test"][0] == "CMD", name
        for other, wanted in service.get("depends_on", {}).items():
            condition = "service_completed_successfully" if other == "bucket" else "service_healthy"
            assert other in services and wanted == {"condition": condition}, name


def test_volumes_are_there(compose: dict[str, Any]) -> None:
    named = set()
    for service in compose["services"].values():
        for volume in service.get("volumes", []):
            source, target = volume.split(":")[:2]
            assert target.startswith("/") or source == target, volume
            if source.startswith("./"):
                assert (ROOT / source).is_file(), source
            elif source not in values().values():
                named.add(source)
    assert named == set(compose["volumes"]) == {"postgres", "s3", "mlflow"}


def test_ports_are_bound_to_loopback(compose: dict[str, Any]) -> None:
    ports = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert sorted(ports) == [f"127.0.0.1:{n}:{n}" for n in (4200, 5000, 5432, 9000)]


def test_no_default_secret() -> None:
    """Each variable is asked for by name, but what is no secret; none has a value in what git keeps."""
    text = (ROOT / "docker-compose.yaml").read_text()
    asked = {m[1]: m[2] for m in VARIABLE.finditer(text)}
    defaults = {m[1] for m in VARIABLE.finditer(text) if m[2] == ":-"}
    assert defaults == {"VISIONMILL_BIND", "VISIONMILL_HOST"}
    required = {m[1] for m in VARIABLE.finditer(text) if m[2] == ":?"}
    assert set(asked) == required | defaults and required <= set(values())
    assert set(values()) == required | {"VISIONMILL_HOST"}
    for line in (TEAM / "env.example").read_text().splitlines():
        assert line.startswith("#") or line.endswith("=") or line == "VISIONMILL_HOST=localhost"


def test_worker_has_what_the_site_asks_for(compose: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """team.yaml, read in the worker's environment, leads to the services of the same file."""
    services = compose["services"]
    for name in ("worker", "watch"):
        with monkeypatch.context() as patch:
            for key in [key for key in os.environ if key.startswith("VISIONMILL_")]:
                patch.delenv(key)
            for key, value in services[name]["environment"].items():
                patch.setenv(key, value)
            site = read_site(ROOT)
        assert (site.mlflow.uri, site.prefect.api) == ("http://mlflow:5000", "http://prefect:4200/api")
        assert site.prefect.api == services[name]["environment"]["PREFECT_API_URL"]
        assert site.optuna == f"postgresql://visionmill:{values()['VISIONMILL_DB_PASSWORD']}@postgres:5432/optuna"
        assert site.remote == "s3://visionmill/dvc"
    command = services["worker"]["command"]
    assert command[command.index("--pool") + 1] == site.prefect.pool
    assert command[command.index("--type") + 1] == site.prefect.pool_type


def test_servers_lead_to_each_other(compose: dict[str, Any]) -> None:
    services, env = compose["services"], values()
    made = set(re.findall(r"CREATE DATABASE (\w+)", (TEAM / "databases.sql").read_text()))
    addresses = [services["mlflow"]["environment"]["MLFLOW_BACKEND_STORE_URI"],
                 services["prefect"]["environment"]["PREFECT_SERVER_DATABASE_CONNECTION_URL"],
                 services["worker"]["environment"]["VISIONMILL_OPTUNA"]]
    for address in addresses:
        match = re.fullmatch(r"postgresql(?:\+asyncpg)?://visionmill:(.+)@postgres:5432/(\w+)", address)
        assert match and match[1] == env["VISIONMILL_DB_PASSWORD"] and match[2] in made, address
    assert services["prefect"]["environment"]["PREFECT_SERVER_API_AUTH_STRING"] == (
        services["worker"]["environment"]["PREFECT_API_AUTH_STRING"])
    assert services["mlflow"]["environment"]["MLFLOW_AUTH_ADMIN_PASSWORD"] == (
        services["worker"]["environment"]["MLFLOW_TRACKING_PASSWORD"])
    for name in ("mlflow", "worker", "watch", "bucket"):
        told = services[name]["environment"]
        assert told["AWS_ACCESS_KEY_ID"] == services["s3"]["environment"]["MINIO_ROOT_USER"]
        assert told["AWS_SECRET_ACCESS_KEY"] == services["s3"]["environment"]["MINIO_ROOT_PASSWORD"]
        assert told["AWS_ENDPOINT_URL"] == "http://s3:9000"
    assert "mlflow:5000" in services["mlflow"]["environment"]["MLFLOW_SERVER_ALLOWED_HOSTS"].split(",")


def test_team_page_names_every_variable() -> None:
    page = (ROOT / "docs/team.md").read_text()
    wanted = set(values()) | set(re.findall(r"\$\{(\w+)\}", (ROOT / "conf/site/team.yaml").read_text()))
    assert [name for name in sorted(wanted) if name not in page] == []

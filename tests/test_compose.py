"""docker-compose.yml: its shape always, and by Compose itself where that client exists."""

import shutil
import subprocess
from typing import Any

import pytest
import yaml

from app.__main__ import _parser
from app.embedded import MAJOR
from app.settings import Settings, SettingsError, read
from tests.processes import ROOT

COMPOSE = ROOT / "docker-compose.yml"
OURS = ("migrate", "web", "relay", "worker")


@pytest.fixture(scope="module")
def composed() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
    return loaded


def default_of(value: str) -> str:
    """What Compose makes of `${NAME:-default}` when NAME is not set."""
    while "${" in value:
        before, _, rest = value.partition("${")
        inside, _, after = rest.partition("}")
        value = before + inside.partition(":-")[2] + after
    return value


def test_everything_a_deployment_needs_is_there(composed: dict[str, Any]) -> None:
    assert set(composed["services"]) >= {*OURS, "postgres", "redis", "proxy", "mailpit"}
    assert composed["services"]["postgres"]["image"] == f"postgres:{MAJOR}"


@pytest.mark.parametrize("service", OURS)
def test_our_processes_run_commands_that_exist_under_settings_that_are_accepted(composed: dict[str, Any], service: str) -> None:
    process = composed["services"][service]
    assert _parser().parse_args(process["command"]).run
    given = {name.lower(): default_of(value) for name, value in process["environment"].items()}
    assert set(given) <= set(Settings.model_fields)
    settings = read(_env_file=None, **given)
    assert settings.database_url.get_secret_value().startswith("postgresql://")


def test_the_key_for_trying_out_is_refused_where_people_are(composed: dict[str, Any]) -> None:
    key = default_of(composed["services"]["web"]["environment"]["SECRET_KEY"])
    with pytest.raises(SettingsError, match="SECRET_KEY is the one for trying out"):
        read(_env_file=None, site_mode="prod", site_url="https://lessons.example.com", smtp_url="smtp://mail", secret_key=key)


def test_only_the_proxy_and_the_mails_can_be_reached_from_outside(composed: dict[str, Any]) -> None:
    assert {name for name, service in composed["services"].items() if "ports" in service} == {"proxy", "mailpit"}


def test_whatever_a_service_waits_for_or_mounts_exists(composed: dict[str, Any]) -> None:
    for service in composed["services"].values():
        assert set(service.get("depends_on", {})) <= set(composed["services"])
        for waited, condition in service.get("depends_on", {}).items():
            if condition["condition"] == "service_healthy":
                assert "healthcheck" in composed["services"][waited]
        assert {mount.split(":")[0] for mount in service.get("volumes", [])} <= set(composed["volumes"])
        assert {config["source"] for config in service.get("configs", [])} <= set(composed["configs"])


def test_the_image_holds_every_folder_the_product_needs() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for folder in ("app", "realtime", "jobs", "sql"):
        assert f"COPY {folder} {folder}" in dockerfile
        assert f"!{folder}" in ignored


def test_compose_itself_accepts_the_file_where_it_is_installed() -> None:
    if (
        not shutil.which("docker")
        or subprocess.run(["docker", "compose", "version"], check=False, capture_output=True).returncode != 0
    ):
        return  # the shape was looked at above
    checked = subprocess.run(
        ["docker", "compose", "-f", str(COMPOSE), "config", "--quiet"], check=False, capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stderr

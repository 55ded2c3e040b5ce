"""An invalid setting is refused in one sentence that names it without its value. Every setting is
documented."""

from pathlib import Path

import pytest

from app.settings import Settings, SettingsError, environment, read
from tests.processes import ROOT

KEY = "k" * 32
REAL = {
    "secret_key": KEY,
    "smtp_url": "smtp://mail.example.com:25",
    "site_url": "https://lessons.example.com",
}


def test_the_defaults_work_on_a_laptop() -> None:
    assert read(_env_file=None).site_mode == "int"


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"site_mode": "production"}, "SITE_MODE must be 'int', 'stg' or 'prod'."),
        ({"hold_seconds": "0"}, "HOLD_SECONDS must be greater than or equal to 1."),
        ({"hold_seconds": "3601"}, "HOLD_SECONDS must be less than or equal to 3600."),
        (
            {"database_pool": "many"},
            "DATABASE_POOL must be a valid integer, unable to parse string as an integer.",
        ),
        (
            {"database_url": "mysql://root:hunter2@db/x"},
            "DATABASE_URL must start with postgresql:// or postgres://.",
        ),
        (
            {"redis_url": "localhost:6379"},
            "REDIS_URL must start with redis:// or rediss:// or unix://.",
        ),
        ({"smtp_url": "mail.example.com"}, "SMTP_URL must start with smtp:// or smtps://."),
        (
            {"site_url": "lessons.example.com"},
            "SITE_URL must look like https://example.com or http://127.0.0.1:8000.",
        ),
        (
            {"allowed_origins": "https://a.example/path"},
            "ALLOWED_ORIGINS must look like https://example.com or http://127.0.0.1:8000.",
        ),
        (
            {"mail_from": "nobody"},
            "MAIL_FROM must contain an e-mail address, as in Name <name@example.com>.",
        ),
        (
            {"trusted_proxies": "proxy"},
            "TRUSTED_PROXIES: 'proxy' does not appear to be an IPv4 or IPv6 network.",
        ),
        ({"secret_key": "short"}, "SECRET_KEY must have at least 32 characters."),
        ({"hold_second": "3"}, "HOLD_SECOND is not a setting. Did you mean HOLD_SECONDS?"),
        ({"reconcile_seconds": "13"}, "RECONCILE_SECONDS must be less than or equal to 12."),
    ],
)
def test_an_invalid_value_is_reported_in_one_sentence(
    values: dict[str, str], sentence: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        read(_env_file=None, **values)
    assert str(refused.value) == sentence


@pytest.mark.parametrize(
    ("values", "part"),
    [
        ({"rate_limits": "off", "site_mode": "stg"}, "RATE_LIMITS=off is for load tests"),
        ({"site_mode": "prod", "secret_key": ""}, "SITE_MODE=prod needs a SECRET_KEY"),
        ({"site_mode": "stg", "smtp_url": ""}, "SITE_MODE=stg needs an SMTP_URL"),
        (
            {"site_mode": "prod", "site_url": "http://lessons.example.com"},
            "SITE_MODE=prod needs a SITE_URL that starts with https://",
        ),
        (
            {"stuck_seconds": "1", "beacon_seconds": "20"},
            "STUCK_SECONDS is far below BEACON_SECONDS",
        ),
    ],
)
def test_contradictory_values_are_refused(values: dict[str, str], part: str) -> None:
    with pytest.raises(SettingsError, match=part):
        read(_env_file=None, **(REAL | values))


def test_all_errors_are_reported_together_without_values() -> None:
    with pytest.raises(SettingsError) as refused:
        read(
            _env_file=None,
            database_url="mysql://root:hunter2@db/x",
            smtp_url="hunter2",
            hold_seconds="hunter2",
        )
    sentences = str(refused.value).splitlines()
    assert [sentence.split()[0] for sentence in sentences] == [
        "DATABASE_URL",
        "HOLD_SECONDS",
        "SMTP_URL",
    ]
    assert "hunter2" not in str(refused.value)


def test_unknown_keys_in_the_env_file_are_refused(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("HOLD_SECONDS=60\nRATE_LIMIT=off\n")
    with pytest.raises(
        SettingsError, match=r"^RATE_LIMIT is not a setting\. Did you mean RATE_LIMITS\?$"
    ):
        read(_env_file=file)


def test_the_environment_overrides_the_env_file_and_empty_means_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / ".env"
    file.write_text("HOLD_SECONDS=60\nMAX_SOCKETS=5\nLOG_FORMAT=\nREDIS_URL=redis://elsewhere\n")
    monkeypatch.setenv("HOLD_SECONDS", "90")
    monkeypatch.setenv("SITE_MODE", "")
    monkeypatch.setenv("REDIS_URL", "")
    settings = read(_env_file=file)
    assert (
        settings.hold_seconds,
        settings.max_sockets,
        settings.log_format,
        settings.site_mode,
    ) == (90, 5, "console", "int")
    assert "redis_url" not in settings.model_fields_set


def test_a_child_process_reads_the_same_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = read(
        _env_file=None,
        database_url="postgresql://a:b@db/x",
        allowed_origins=("https://a.example", "https://b.example"),
        public_availability_show_instructor_name=False,
        drain_seconds=1.5,
    )
    for name, value in environment(settings).items():
        monkeypatch.setenv(name, value)
    assert read(_env_file=None) == settings


def test_the_repr_of_settings_hides_secrets() -> None:
    settings = read(
        _env_file=None,
        secret_key=KEY,
        database_url="postgresql://a:hunter2@db/x",
        smtp_url="smtp://a:hunter2@mail",
    )
    assert KEY not in repr(settings)
    assert "hunter2" not in repr(settings)


def documented(name: str) -> str:
    field = Settings.model_fields[name]
    default = environment_of(name) or "empty"
    text = default if default == "empty" else f"`{default}`"
    return f"| `{name.upper()}` | {text} | {field.description} |"


def environment_of(name: str) -> str:
    default = Settings.model_fields[name].default
    text = environment(Settings.model_construct(_fields_set={name}, **{name: default}))[
        name.upper()
    ]
    return text.lower() if isinstance(default, bool) else text


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_documented_with_its_default(name: str) -> None:
    assert Settings.model_fields[name].description
    assert documented(name) in (ROOT / "docs" / "settings.md").read_text().splitlines()
    example = (ROOT / ".env.example").read_text()
    assert (
        f"# {Settings.model_fields[name].description}\n#{name.upper()}={environment_of(name)}\n"
        in example
    )


def test_the_example_env_file_lists_exactly_the_settings_and_can_be_read(tmp_path: Path) -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    assignments = [
        line[1:]
        for line in lines
        if line.startswith("#") and not line.startswith("# ") and line != "#"
    ]
    assert sorted(line.split("=")[0].lower() for line in assignments) == sorted(
        Settings.model_fields
    )
    file = tmp_path / ".env"
    file.write_text("\n".join(assignments))
    assert read(_env_file=file) == read(_env_file=None)

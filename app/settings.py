"""All settings, read once from the environment and `.env`. They are the only source of the
database's address, so that operations that must never touch production can be refused in one
place."""

import difflib
import ipaddress
import os
import re
from collections import Counter
from collections.abc import Mapping
from email.utils import parseaddr
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

Seconds = float

# The default of docker-compose.yml.
TRIAL_KEY = "a-key-for-trying-out-only-and-never-for-people"


class SettingsError(Exception):
    """The settings cannot be used; the message says which and what to do."""


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_file=".env", frozen=True, extra="forbid", hide_input_in_errors=True
    )

    site_mode: Literal["int", "stg", "prod"] = Field(
        "int", description="The kind of site: int, stg or prod."
    )
    site_url: str = Field(
        "http://127.0.0.1:8000",
        description="The site's public address: links, cookies and the Host depend on it.",
    )
    database_url: SecretStr = Field(
        SecretStr(""), description="PostgreSQL 18 as postgresql://…; empty: `up` starts its own."
    )
    migrate_database_url: SecretStr = Field(
        SecretStr(""),
        description="The same database as the role that owns it; empty: DATABASE_URL.",
    )
    redis_url: SecretStr = Field(
        SecretStr(""), description="Redis as redis://…; empty: `up` starts its own."
    )
    live_redis_urls: SecretStr = Field(
        SecretStr(""),
        description="Redis servers of the live path, separated by commas; empty: REDIS_URL.",
    )
    relay_shards: int = Field(
        0,
        ge=0,
        le=64,
        description="Active relays, a multiple of the live path's Redis servers; 0: one each.",
    )
    database_pool: int = Field(20, ge=2, le=200, description="Database connections per process.")
    secret_key: SecretStr = Field(
        SecretStr(""),
        description="Signs sessions and encrypts secrets; at least 32 characters. "
        "In int, `up` creates one.",
    )
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="More origins whose pages may call the API with cookies, separated by commas.",
    )
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="More hosts than SITE_URL's that requests may name, separated by commas."
    )
    trusted_proxies: str = Field(
        "127.0.0.1",
        description="Proxies whose X-Forwarded-* headers are trusted, separated by commas.",
    )
    rate_limits: Literal["on", "off"] = Field(
        "on", description="Rate limits; off is for load tests and only possible in int."
    )
    hold_seconds: int = Field(300, ge=1, le=3600, description="Seconds until a hold expires.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The lowest level that is logged."
    )
    log_format: Literal["console", "json"] = Field(
        "console", description="Log lines as text or as JSON."
    )
    slow_query_ms: int = Field(
        500, ge=0, description="Statements that take this long are logged by name; 0: none."
    )
    audit_log: Path = Field(
        Path("var/audit.jsonl"),
        description="The log of attempts to run destructive commands.",
    )
    monitoring_api_key: SecretStr = Field(
        SecretStr(""), description="The key that /metrics requires outside int."
    )

    smtp_url: SecretStr = Field(
        SecretStr(""),
        description="smtp://user:password@host:port or smtps://…; empty: /dev/mail (int).",
    )
    mail_from: str = Field("InstaInstru <lessons@example.com>", description="The sender of mails.")

    public_availability_days: int = Field(
        30, ge=1, le=90, description="Days ahead that public availability shows."
    )
    public_availability_detail_level: Literal["full", "summary", "minimal"] = Field(
        "full", description="The detail of public availability."
    )
    public_availability_show_instructor_name: bool = Field(
        True, description="Whether public availability names the instructor."
    )
    public_availability_cache_ttl: int = Field(
        300, ge=0, le=86400, description="Seconds that the product caches public availability."
    )

    reconcile_seconds: Seconds = Field(
        10,
        gt=0,
        le=12,
        description="Seconds between comparisons of watched calendars with Postgres.",
    )
    beacon_seconds: Seconds = Field(
        20, gt=0, le=40, description="Seconds between beacons on a socket."
    )
    stuck_seconds: Seconds = Field(
        25, gt=0, le=30, description="Seconds after which a client that reads nothing is aborted."
    )
    relay_poll_seconds: Seconds = Field(
        1,
        gt=0,
        le=10,
        description="Seconds after which the relay looks for changes without a wake-up.",
    )
    sweep_seconds: Seconds = Field(
        5,
        gt=0,
        le=60,
        description="Seconds after which the worker looks for due mails without a wake-up.",
    )
    drain_seconds: Seconds = Field(
        4, ge=0, le=60, description="Seconds over which open sockets are closed after SIGTERM."
    )
    max_sockets: int = Field(
        10_000, ge=1, description="Open sockets per web process; more get a 503."
    )
    sockets_per_address: int = Field(
        50, ge=1, description="Open sockets from one address; more get a 429."
    )
    sockets_per_account: int = Field(
        20, ge=1, description="Open sockets of one account; more get a 429."
    )

    @model_validator(mode="before")
    @classmethod
    def _empty_is_default(cls, values: dict[str, Any]) -> dict[str, Any]:
        nonempty = {name: value for name, value in values.items() if value != ""}
        if "migrate_database_url" in nonempty:
            nonempty.setdefault("database_url", nonempty["migrate_database_url"])
        return nonempty

    @field_validator("site_url")
    @classmethod
    def _site_origin(cls, value: str) -> str:
        return _origin(value.rstrip("/"))

    @field_validator("allowed_origins", "allowed_hosts", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return (
            tuple(part.strip() for part in value.split(",") if part.strip())
            if isinstance(value, str)
            else value
        )

    @field_validator("allowed_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_origin(origin) for origin in value)

    @field_validator("allowed_hosts")
    @classmethod
    def _hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_host(host) for host in value)

    @field_validator("trusted_proxies")
    @classmethod
    def _addresses(cls, value: str) -> str:
        for part in value.split(","):
            if part.strip() not in {"*", ""}:
                # The message of its ValueError is a sentence.
                ipaddress.ip_network(part.strip(), strict=False)
        return value

    @field_validator("database_url", "migrate_database_url", "redis_url", "smtp_url")
    @classmethod
    def _address(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        allowed = _SCHEMES[info.field_name or ""]
        if value.get_secret_value() and urlsplit(value.get_secret_value()).scheme not in allowed:
            raise ValueError(
                f"must start with {' or '.join(f'{scheme}://' for scheme in allowed)}."
            )
        return value

    @field_validator("live_redis_urls")
    @classmethod
    def _live_addresses(cls, value: SecretStr) -> SecretStr:
        if any(urlsplit(url).scheme not in _SCHEMES["redis_url"] for url in _addresses(value)):
            raise ValueError(
                "must be redis://, rediss:// or unix:// addresses, separated by commas."
            )
        return value

    @property
    def secure(self) -> bool:
        """Whether browsers reach the site by https only."""
        return self.site_url.startswith("https://")

    @property
    def session_cookie(self) -> str:
        """The name of the session cookie. A browser accepts `__Host-` only with Secure and from
        this very host, so no other subdomain can set it."""
        return "__Host-session" if self.secure else "session"

    @property
    def owner_database_url(self) -> str:
        """The database as the role that may alter its schema."""
        return (self.migrate_database_url or self.database_url).get_secret_value()

    @property
    def live_redis(self) -> tuple[str, ...]:
        """The Redis servers that relays publish changes to."""
        return _addresses(self.live_redis_urls) or (self.redis_url.get_secret_value(),)

    @property
    def shards(self) -> int:
        """The number of active relays. Each publishes to one server, so that a server that is down
        stops no other relay."""
        return self.relay_shards or len(self.live_redis)

    @field_validator("mail_from")
    @classmethod
    def _sender(cls, value: str) -> str:
        if "@" not in parseaddr(value)[1]:
            raise ValueError("must contain an e-mail address, as in Name <name@example.com>.")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.rate_limits == "off" and self.site_mode != "int":
            raise ValueError("RATE_LIMITS=off is for load tests and works only with SITE_MODE=int.")
        if self.secret_key.get_secret_value() and len(self.secret_key.get_secret_value()) < 32:
            raise ValueError("SECRET_KEY must have at least 32 characters.")
        if self.site_mode != "int":
            if not self.secret_key.get_secret_value():
                raise ValueError(
                    f"SITE_MODE={self.site_mode} needs a SECRET_KEY of at least 32 characters."
                )
            if self.secret_key.get_secret_value() == TRIAL_KEY:
                raise ValueError(
                    f"SITE_MODE={self.site_mode} needs its own SECRET_KEY: the trial key is public."
                )
            if not self.smtp_url.get_secret_value():
                raise ValueError(
                    f"SITE_MODE={self.site_mode} needs an SMTP_URL: only int has /dev/mail."
                )
        if self.site_mode == "prod" and not self.site_url.startswith("https://"):
            raise ValueError("SITE_MODE=prod needs a SITE_URL that starts with https://.")
        if self.shards % len(self.live_redis):
            raise ValueError("RELAY_SHARDS must be a multiple of the number of LIVE_REDIS_URLS.")
        if self.stuck_seconds < self.beacon_seconds / 10:
            raise ValueError(
                "STUCK_SECONDS is far below BEACON_SECONDS: healthy clients would be aborted."
            )
        return self


@cache
def settings() -> Settings:
    """The settings of this process. Raises SettingsError with one sentence per fault."""
    return read()


def read(**overrides: object) -> Settings:
    """Settings from the environment, with overrides (of tests and `up`). Raises SettingsError."""
    _check_spelling(os.environ)
    try:
        return Settings(**overrides)  # type: ignore[arg-type]  # pydantic validates them
    except ValidationError as error:
        raise SettingsError(
            "\n".join(map(_sentence, error.errors(include_url=False, include_input=False)))
        ) from None


def _check_spelling(variables: Mapping[str, str]) -> None:
    """Raises SettingsError if a setting is there twice, in upper and in lower case: one of them
    would be ignored silently."""
    names = Counter(name.upper() for name in variables if name.lower() in Settings.model_fields)
    twice = sorted(name for name, count in names.items() if count > 1)
    if twice:
        raise SettingsError(f"{', '.join(twice)} is set in two spellings. Keep only one.")


def environment(settings: Settings) -> dict[str, str]:
    """The settings that are not defaults, as environment variables for a child process."""
    return {name.upper(): _text(getattr(settings, name)) for name in settings.model_fields_set}


def process_environment(settings: Settings) -> dict[str, str]:
    """The environment of a web process, relay or worker, none of which may alter the schema."""
    return environment(settings) | {"MIGRATE_DATABASE_URL": ""}


def _text(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return ",".join(value) if isinstance(value, tuple) else str(value)


def _addresses(value: SecretStr) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.get_secret_value().split(",") if part.strip())


_SCHEMES = {
    "database_url": ("postgresql", "postgres"),
    "migrate_database_url": ("postgresql", "postgres"),
    "redis_url": ("redis", "rediss", "unix"),
    "smtp_url": ("smtp", "smtps"),
}


DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def _origin(value: str) -> str:
    """`scheme://host[:port]` without a path, as browsers write it: in lower case and without the
    default port."""
    parts = urlsplit(value)
    if (
        parts.scheme not in {"http", "https"}
        or not parts.hostname
        or parts.path
        or parts.query
        or parts.fragment
        or parts.username
    ):
        raise ValueError("must look like https://example.com or http://127.0.0.1:8000.")
    return value.lower().removesuffix(DEFAULT_PORTS[parts.scheme])


def _host(value: str) -> str:
    if not _HOST.fullmatch(value):
        raise ValueError("must look like example.com or example.com:8000.")
    return value.lower()


_HOST = re.compile(r"(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?")


def _sentence(item: ErrorDetails) -> str:
    """One error as a sentence, without the value: it may be a secret."""
    name = str(item["loc"][0]) if item["loc"] else ""
    if item["type"] == "extra_forbidden":
        near = difflib.get_close_matches(name.lower(), Settings.model_fields, n=1)
        hint = f"Did you mean {near[0].upper()}?" if near else "docs/settings.md lists them all."
        return f"{name.upper()} is not a setting. {hint}"
    message = item["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    sentence = (
        f"{name.upper()}{'' if message.startswith('must') else ':'} {message}" if name else message
    )
    return sentence if sentence.endswith((".", "?")) else f"{sentence}."

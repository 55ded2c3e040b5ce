"""Every setting of the product, read once from the environment (and `.env`). The database's address is given out here and nowhere
else, so that what must never touch production can be refused in one place."""

import difflib
import ipaddress
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

# docker-compose.yml's, where none is given.
TRYING_OUT_KEY = "a-key-for-trying-out-only-and-never-for-people"


class SettingsError(Exception):
    """The settings cannot be used; the message says which and what to do."""


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_file=".env", frozen=True, extra="forbid", hide_input_in_errors=True
    )

    site_mode: Literal["int", "stg", "prod"] = Field(
        "int", description="Which kind of site this is: int, stg or prod."
    )
    site_url: str = Field(
        "http://127.0.0.1:8000",
        description="Where people reach the site; links in mails start with it.",
    )
    database_url: SecretStr = Field(
        SecretStr(""), description="PostgreSQL 18 as postgresql://…; empty: `up` starts its own."
    )
    redis_url: SecretStr = Field(
        SecretStr(""), description="Redis as redis://…; empty: `up` starts its own."
    )
    live_redis_urls: SecretStr = Field(
        SecretStr(""),
        description="Redis servers of the live path, with commas; empty: REDIS_URL. Partitions are spread over them.",
    )
    relay_shards: int = Field(
        0,
        ge=0,
        le=64,
        description="Relays active at a time, a multiple of the live path's servers; 0: one for each.",
    )
    database_pool: int = Field(10, ge=2, le=200, description="Database connections per process.")
    secret_key: SecretStr = Field(
        SecretStr(""), description="Signs sessions; at least 32 characters. `up` makes one in int."
    )
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Further origins, with commas, whose pages may call the API by cookie."
    )
    trusted_proxies: str = Field(
        "127.0.0.1", description="Addresses whose X-Forwarded-* headers are believed, with commas."
    )
    rate_limits: Literal["on", "off"] = Field(
        "on", description="off switches rate limits off, in int only, for load tests."
    )
    hold_seconds: int = Field(
        300, ge=1, le=3600, description="How long a held time is kept for a student."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least that is logged."
    )
    log_format: Literal["console", "json"] = Field(
        "console", description="Logs for people or for machines."
    )
    audit_log: Path = Field(
        Path("var/audit.jsonl"),
        description="Where attempts at destructive commands are written down.",
    )
    monitoring_api_key: SecretStr = Field(
        SecretStr(""), description="What /metrics asks for outside int."
    )

    smtp_url: SecretStr = Field(
        SecretStr(""),
        description="smtp://user:password@host:port or smtps://…; empty: /dev/mail (int).",
    )
    mail_from: str = Field("InstaInstru <lessons@example.com>", description="The sender of mails.")

    public_availability_days: int = Field(
        30, ge=1, le=90, description="How far ahead public availability is shown."
    )
    public_availability_detail_level: Literal["full", "summary", "minimal"] = Field(
        "full", description="How much it says."
    )
    public_availability_show_instructor_name: bool = Field(
        True, description="Whether it names the instructor."
    )
    public_availability_cache_ttl: int = Field(
        300, ge=0, le=86400, description="Seconds our own cache of it may live."
    )

    reconcile_seconds: Seconds = Field(
        10, gt=0, le=12, description="How often watched calendars are compared with Postgres."
    )
    beacon_seconds: Seconds = Field(
        20, gt=0, le=40, description="How often a socket hears a beacon."
    )
    stuck_seconds: Seconds = Field(
        25, gt=0, le=30, description="How long a client may take nothing before it is aborted."
    )
    relay_poll_seconds: Seconds = Field(
        1, gt=0, le=10, description="How often the relay looks without a wake-up."
    )
    sweep_seconds: Seconds = Field(
        5, gt=0, le=60, description="How often the worker looks for due rows without a wake-up."
    )
    drain_seconds: Seconds = Field(
        4, ge=0, le=60, description="How long open sockets are said goodbye to at SIGTERM."
    )
    max_sockets: int = Field(
        10_000, ge=1, description="Open sockets per web process; more are answered 503."
    )
    sockets_per_address: int = Field(
        50, ge=1, description="Of them, from one address; more are answered 429."
    )
    sockets_per_account: int = Field(
        20, ge=1, description="Of them, of one account; more are answered 429."
    )

    @model_validator(mode="before")
    @classmethod
    def _empty_is_default(cls, given: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in given.items() if value != ""}

    @field_validator("site_url")
    @classmethod
    def _site_origin(cls, value: str) -> str:
        return _origin(value.rstrip("/"))

    @field_validator("allowed_origins", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return (
            tuple(part.strip() for part in value.split(",") if part.strip())
            if isinstance(value, str)
            else value
        )

    @field_validator("allowed_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_origin(origin) for origin in value)

    @field_validator("trusted_proxies")
    @classmethod
    def _addresses(cls, value: str) -> str:
        for part in value.split(","):
            if part.strip() not in {"*", ""}:
                ipaddress.ip_network(part.strip(), strict=False)  # its ValueError is a sentence
        return value

    @field_validator("database_url", "redis_url", "smtp_url")
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
                "must be addresses that start with redis:// or rediss:// or unix://, with commas."
            )
        return value

    @property
    def live_redis(self) -> tuple[str, ...]:
        """The Redis servers that changes are published on."""
        return _addresses(self.live_redis_urls) or (self.redis_url.get_secret_value(),)

    @property
    def shards(self) -> int:
        """Relays active at a time. Each speaks to one server, so that one that is away stops no other."""
        return self.relay_shards or len(self.live_redis)

    @field_validator("mail_from")
    @classmethod
    def _sender(cls, value: str) -> str:
        if "@" not in parseaddr(value)[1]:
            raise ValueError("must hold an e-mail address, as in Name <name@example.com>.")
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
            if self.secret_key.get_secret_value() == TRYING_OUT_KEY:
                raise ValueError(
                    f"SECRET_KEY is the one for trying out, which everybody knows; SITE_MODE={self.site_mode} needs its own."
                )
            if not self.smtp_url.get_secret_value():
                raise ValueError(
                    f"SITE_MODE={self.site_mode} needs an SMTP_URL: /dev/mail exists in int only."
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


def read(**given: object) -> Settings:
    """Settings from the environment, with `given` on top (tests and `up` give some)."""
    try:
        return Settings(**given)  # type: ignore[arg-type]  # pydantic validates what it is given
    except ValidationError as error:
        raise SettingsError(
            "\n".join(map(_sentence, error.errors(include_url=False, include_input=False)))
        ) from None


def environment(settings: Settings) -> dict[str, str]:
    """The settings that were given (not the defaults), as a child process reads them from its environment."""
    return {name.upper(): _text(getattr(settings, name)) for name in settings.model_fields_set}


def _text(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return ",".join(value) if isinstance(value, tuple) else str(value)


def _addresses(value: SecretStr) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.get_secret_value().split(",") if part.strip())


_SCHEMES = {
    "database_url": ("postgresql", "postgres"),
    "redis_url": ("redis", "rediss", "unix"),
    "smtp_url": ("smtp", "smtps"),
}


def _origin(value: str) -> str:
    """`scheme://host[:port]` and nothing after it."""
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
    return value


def _sentence(item: ErrorDetails) -> str:
    """What is wrong with one setting, without the value: it may be a secret."""
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

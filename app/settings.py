"""Every setting of the product, read once from the environment (and `.env`). The database's address is given out here and nowhere
else, so that what must never touch production can be refused in one place."""

from functools import cache
from typing import Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

Seconds = float


class SettingsError(Exception):
    """The settings cannot be used; the message says which and what to do."""


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_file=".env", frozen=True, extra="forbid", hide_input_in_errors=True)

    site_mode: Literal["int", "stg", "prod"] = Field("int", description="Which kind of site this is: int, stg or prod.")
    site_url: str = Field("http://127.0.0.1:8000", description="Where people reach the site; links in mails start with it.")
    database_url: SecretStr = Field(SecretStr(""), description="PostgreSQL 18 as postgresql://…; empty: `up` starts its own.")
    redis_url: SecretStr = Field(SecretStr(""), description="Redis as redis://…; empty: `up` starts its own.")
    database_pool: int = Field(10, ge=2, le=200, description="Database connections per process.")
    secret_key: SecretStr = Field(SecretStr(""), description="Signs sessions; at least 32 characters. `up` makes one in int.")
    allowed_origins: tuple[str, ...] = Field(
        (), description="Further origins (JSON list) whose pages may call the API by cookie."
    )
    trusted_proxies: str = Field("127.0.0.1", description="Addresses whose X-Forwarded-* headers are believed, with commas.")
    rate_limits: Literal["on", "off"] = Field("on", description="off switches rate limits off, in int only, for load tests.")
    hold_seconds: int = Field(300, ge=1, le=3600, description="How long a held time is kept for a student.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="The least that is logged.")
    log_format: Literal["console", "json"] = Field("console", description="Logs for people or for machines.")
    monitoring_api_key: SecretStr = Field(SecretStr(""), description="What /metrics asks for outside int.")

    smtp_url: SecretStr = Field(
        SecretStr(""), description="smtp://user:password@host:port or smtps://…; empty: /dev/mail (int)."
    )
    mail_from: str = Field("InstaInstru <lessons@example.com>", description="The sender of mails.")

    public_availability_days: int = Field(30, ge=1, le=90, description="How far ahead public availability is shown.")
    public_availability_detail_level: Literal["full", "summary", "minimal"] = Field("full", description="How much it says.")
    public_availability_show_instructor_name: bool = Field(True, description="Whether it names the instructor.")
    public_availability_cache_ttl: int = Field(300, ge=0, le=86400, description="Seconds our own cache of it may live.")

    reconcile_seconds: Seconds = Field(10, gt=0, le=12, description="How often watched calendars are compared with Postgres.")
    beacon_seconds: Seconds = Field(20, gt=0, le=40, description="How often a socket hears a beacon.")
    stuck_seconds: Seconds = Field(25, gt=0, le=30, description="How long a client may take nothing before it is aborted.")
    relay_poll_seconds: Seconds = Field(1, gt=0, le=10, description="How often the relay looks without being poked.")
    sweep_seconds: Seconds = Field(5, gt=0, le=60, description="How often the worker looks for due rows without being poked.")
    drain_seconds: Seconds = Field(4, ge=0, le=60, description="How long open sockets are said goodbye to at SIGTERM.")
    max_sockets: int = Field(10_000, ge=1, description="Open sockets per web process; more are answered 503.")

    @field_validator("site_url")
    @classmethod
    def _no_trailing_slash(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")):
            raise ValueError("must start with http:// or https://")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.rate_limits == "off" and self.site_mode != "int":
            raise ValueError("RATE_LIMITS=off is for load tests and works only with SITE_MODE=int.")
        if self.secret_key.get_secret_value() and len(self.secret_key.get_secret_value()) < 32:
            raise ValueError("SECRET_KEY must have at least 32 characters.")
        if self.site_mode != "int":
            if not self.secret_key.get_secret_value():
                raise ValueError(f"SITE_MODE={self.site_mode} needs a SECRET_KEY of at least 32 characters.")
            if not self.smtp_url.get_secret_value():
                raise ValueError(f"SITE_MODE={self.site_mode} needs an SMTP_URL: /dev/mail exists in int only.")
        if self.stuck_seconds < self.beacon_seconds / 10:
            raise ValueError("STUCK_SECONDS is far below BEACON_SECONDS: healthy clients would be aborted.")
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
        raise SettingsError("\n".join(_sentence(item["loc"], item["msg"]) for item in error.errors())) from None


def _sentence(location: tuple[int | str, ...], message: str) -> str:
    message = message.removeprefix("Value error, ")
    return f"{str(location[0]).upper()}: {message}" if location else message

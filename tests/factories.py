"""Accounts and lessons for tests, written directly to the database, independently of the API.
Parameters are cast to Postgres's own types: asyncpg asks Postgres about all others."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from app.accounts import session
from app.bookings import booking
from app.bookings.booking import Booking
from app.db import Pool
from app.settings import Settings

ADDRESS = "5 Pine Street, New York"  # of every instructor's place
PASSWORD = "TestPassword123!"
# Argon2id of PASSWORD with the cheapest parameters.
QUICK_HASH = (
    "$argon2id$v=19$m=8,t=1,p=1$q5p1D8+kr4GW/MpipOwdJg$1NZtgHdbhgC9LzZ1sAvh7kkWdrhINtzsRPh3jMfY3gs"
)


@dataclass(frozen=True)
class Account:
    id: UUID
    email: str
    name: str


@dataclass(frozen=True)
class Instructor(Account):
    service_id: UUID
    time_zone: str
    today: date  # local date at creation

    def at(self, wall_clock: str, *, day: int = 1) -> datetime:
        """The instant of a local wall-clock time, `day` days after today."""
        local = datetime.combine(
            self.today + timedelta(days=day),
            time.fromisoformat(wall_clock),
            ZoneInfo(self.time_zone),
        )
        return local.astimezone(UTC)

    def day(self, after: int = 1) -> date:
        """The local date, `after` days after today."""
        return self.today + timedelta(days=after)

    @property
    def spring_day(self) -> date:
        """The next one on which the clocks skip an hour, from the day after tomorrow on."""
        return next(
            self.day(day)
            for day in range(2, 400)
            if self.at("00:00", day=day + 1) - self.at("00:00", day=day) < timedelta(days=1)
        )


def zone_at(hour: int) -> str:
    """A time zone in which it is this hour now."""
    ahead = (hour - datetime.now(UTC).hour + 11) % 24 - 11  # -11 to 12
    return f"Etc/GMT{-ahead:+}"


async def student(pool: Pool, name: str = "Ben") -> Account:
    return await _account(pool, name, ("student",))


async def admin(pool: Pool, name: str = "Ada") -> Account:
    return await _account(pool, name, ("admin",))


async def instructor(
    pool: Pool,
    name: str = "Anna",
    *,
    roles: Sequence[str] = ("instructor",),
    service: str = "piano",
    rate_cents: int = 7000,
    durations: Sequence[int] = (30, 60),
    hours: tuple[str, str] = ("09:00", "17:00"),
    days: int = 28,
    time_zone: str = "America/New_York",
    notice_minutes: int = 120,
    buffer_minutes: int = 0,
    free_cancel_hours: int = 12,
    now: datetime | None = None,
) -> Instructor:
    """An instructor with one service and the same hours on each of the next `days` days."""
    account = await _account(pool, name, roles, time_zone)
    today = (now or datetime.now(UTC)).astimezone(ZoneInfo(time_zone)).date()
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(
            "insert into instructor (id, headline, teaching_address)"
            " values ($1, $2::text, $3::text)",
            account.id,
            f"{name} teaches {service}",
            ADDRESS,
        )
        await connection.execute(
            """insert into calendar (
                 instructor_id, time_zone, min_advance_minutes, travel_buffer_minutes,
                 free_cancel_hours
               )
               values ($1, $2, $3::integer, $4::integer, $5::integer)""",
            account.id,
            time_zone,
            notice_minutes,
            buffer_minutes,
            free_cancel_hours,
        )
        await connection.execute(
            """insert into availability (instructor_id, during)
               select $1, tstzrange(local_instant(day + $3::text::time, $5),
                                    local_end(day + $4::text::interval, $5))
               from (select $2::date + n as day from generate_series(0, $6 - 1) as n) as days""",
            account.id,
            today,
            *hours,
            time_zone,
            days,
        )
    return Instructor(
        account.id,
        account.email,
        account.name,
        await service_of(pool, account.id, service, rate_cents=rate_cents, durations=durations),
        time_zone,
        today,
    )


async def service_of(
    pool: Pool,
    instructor_id: UUID,
    service: str = "piano",
    *,
    rate_cents: int = 7000,
    durations: Sequence[int] = (30, 60),
) -> UUID:
    """Adds a service to an instructor; returns the service's id."""
    service_id: UUID = await pool.fetchval(
        """insert into service (
             instructor_id, catalog_service, hourly_rate_cents, durations_minutes, location_types
           )
           values ($1, $2, $3::integer, $4, '{student,instructor,public}') returning id""",
        instructor_id,
        service,
        rate_cents,
        list(durations),
    )
    await pool.execute("select sync_next_starts($1)", instructor_id)
    return service_id


async def lesson(
    pool: Pool,
    student_id: UUID,
    service_id: UUID,
    start: datetime,
    *,
    minutes: int = 60,
    now: datetime | None = None,
) -> Booking:
    """A lesson booked by the product's own code."""
    return await booking.reserve(
        pool,
        student_id,
        service_id=service_id,
        start=start,
        minutes=minutes,
        location_type=None,
        location="12 Main St",
        note="",
        now=now or datetime.now(UTC),
    )


async def token_of(pool: Pool, account_id: UUID, settings: Settings) -> str:
    """A session token, for `Authorization: Bearer` or the cookie `session`."""
    return await session.open(pool, account_id, settings, now=datetime.now(UTC))


async def _account(
    pool: Pool, name: str, roles: Sequence[str], time_zone: str = "America/New_York"
) -> Account:
    """An account with a confirmed e-mail address."""
    email = f"{name.lower().replace(' ', '.')}@example.com"
    async with pool.acquire() as connection, connection.transaction():
        account_id: UUID = await connection.fetchval(
            """insert into account (email, full_name, password_hash, time_zone, verified_at)
               values ($1::text, $2, $3, $4, now()) returning id""",
            email,
            name,
            QUICK_HASH,
            time_zone,
        )
        await connection.executemany(
            "insert into account_role (account_id, role) values ($1, $2)",
            [(account_id, role) for role in roles],
        )
    return Account(account_id, email, name)

"""The demo: 120 New York instructors with free times in the coming weeks, students, an admin, and
lessons between them. They are created by the product's own functions, so the demo is not a special
case."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from app import maintenance
from app.accounts import account as accounts
from app.accounts import password
from app.availability import week
from app.bookings import booking, sweep
from app.catalog import instructor, service
from app.db import Pool, Tx, transact
from app.demo import profiles
from app.demo.profiles import DemoInstructor
from app.statements import statement

PASSWORD = "TestPassword123!"  # noqa: S105 — public: demo accounts exist in int and stg only
ADMIN = ("admin@example.com", "Ada Admin")
FEATURED = profiles.featured()
INSTRUCTORS = [*FEATURED, *profiles.others()]
STUDENTS = profiles.students()

WEEKS = 8  # of free times from today on
PAST_WEEKS = 4  # since the instructors joined
ZONE = ZoneInfo(accounts.DEFAULT_ZONE)

_wait_longer = statement("wait_longer", str)
_lock_accounts = statement("lock_accounts", bool)
_no_accounts = statement("no_accounts", bool)
_mark_past_mails = statement("mark_past_mails", bool)


@dataclass(frozen=True)
class Lesson:
    """`offer` and `minutes` are the instructor's; `student` is an index of STUDENTS."""

    instructor: DemoInstructor
    offer: int
    student: int
    start: datetime
    minutes: int
    note: str
    meeting_point: str


async def seed_at(address: str, *, now: datetime) -> bool:
    """`seed` for the database at this address."""
    async with maintenance.connected(address) as pool:
        return await seed(pool, now=now)


async def seed(
    pool: Pool, *, now: datetime, instructors: Sequence[DemoInstructor] = INSTRUCTORS
) -> bool:
    """Creates the demo accounts, with services and availability for the weeks after `now`, in one
    transaction. Returns False, without changes, if the database has any account."""
    # One for all: the password is public, and 135 hashes would take seconds.
    password_hash = await password.make_hash(PASSWORD)

    async def write(tx: Tx) -> bool:
        await _wait_longer.one(tx)
        await _lock_accounts.run(tx)
        if not await _no_accounts.one(tx):
            return False
        services = {
            profile.email: await _insert_instructor(tx, profile, password_hash, now)
            for profile in instructors
        }
        students = [
            await accounts.insert(
                tx,
                email=email,
                password_hash=password_hash,
                full_name=name,
                role="student",
                verified_at=now,
            )
            for email, name in STUDENTS
        ]
        email, name = ADMIN
        await accounts.insert(
            tx,
            email=email,
            password_hash=password_hash,
            full_name=name,
            role="admin",
            verified_at=now,
        )
        for lesson in sorted(_lessons(instructors, _today(now)), key=lambda each: each.start):
            service_id = services[lesson.instructor.email][lesson.offer]
            await _book(tx, lesson, students[lesson.student], service_id, now)
        await _mark_past_mails.run(tx, now=now)
        return True

    is_seeded = await transact(pool, write)
    if is_seeded:
        await sweep.run(pool, now=now)  # completes the past lessons
    return is_seeded


async def _insert_instructor(
    tx: Tx, demo: DemoInstructor, password_hash: str, now: datetime
) -> list[UUID]:
    """Returns the ids of the services."""
    joined = now - timedelta(weeks=PAST_WEEKS)
    account_id = await accounts.insert(
        tx,
        email=demo.email,
        password_hash=password_hash,
        full_name=demo.name,
        role="instructor",
        verified_at=joined,
    )
    profile = {
        "headline": demo.headline,
        "bio": demo.bio,
        "years_experience": demo.years,
        "areas": list(demo.areas),
        "teaching_address": demo.address,
    }
    await instructor.change(tx, account_id, profile | demo.settings, now=joined)
    services = [
        await service.offer(
            tx,
            account_id,
            offer.catalog_service,
            hourly_rate_cents=offer.dollars * 100,
            durations_minutes=list(offer.minutes),
            description=offer.description,
            levels=list(offer.levels),
            audiences=list(offer.audiences),
        )
        for offer in demo.offers
    ]
    first = _today(joined)
    days = [first + timedelta(days=n) for n in range(7 * (PAST_WEEKS + WEEKS) + 1)]
    hours = {day: demo.ranges(day) for day in days}
    await week.replace_days(tx, account_id, hours, now=joined)
    return [each.id for each in services]


def _lessons(instructors: Sequence[DemoInstructor], today: date) -> Iterator[Lesson]:
    """Two upcoming ones that documents and tests know, and past and upcoming ones of others. None
    takes an instructor's first free time, so that visitors can book that one."""
    sarah, michael, *others = instructors
    for profile, student, days, at, note in (
        (sarah, 0, 3, time(15), "I have played a little, long ago."),
        (michael, 1, 4, time(13), "Before a trip to Colombia in spring."),
    ):
        start = datetime.combine(today + timedelta(days=days), at, ZONE)
        yield Lesson(profile, 0, student, start, 60, note, "")
    notes, meeting_points = profiles.notes(), profiles.meeting_points()
    busy = {(0, today + timedelta(days=3)), (1, today + timedelta(days=4))}
    for number, profile in enumerate(others):
        for days, step in ((-2 - number * 5 % 22, -1), (2 + number * 5 % 12, 1))[number % 5 :]:
            day = today + timedelta(days=days)
            while not profile.ranges(day):
                day += timedelta(days=step)
            student = number % len(STUDENTS)
            while (student, day) in busy:
                student = (student + 1) % len(STUDENTS)
            busy.add((student, day))
            # An hour after the day's last range begins.
            minute = profile.ranges(day)[-1][0] + 60
            offer = number % len(profile.offers)
            yield Lesson(
                profile,
                offer,
                student,
                datetime.combine(day, time(*divmod(minute, 60)), ZONE),
                profile.offers[offer].minutes[0],
                notes[number % len(notes)],
                meeting_points[number % len(meeting_points)],
            )


async def _book(tx: Tx, lesson: Lesson, student_id: UUID, service_id: UUID, now: datetime) -> None:
    """Past lessons were booked two days before."""
    has_address = bool(lesson.instructor.address)
    await booking.reserve(
        tx,
        student_id,
        service_id=service_id,
        start=lesson.start,
        minutes=lesson.minutes,
        location_type="instructor" if has_address else "public",
        location="" if has_address else lesson.meeting_point,
        note=lesson.note,
        now=min(now, lesson.start - timedelta(days=2)),
    )


def _today(now: datetime) -> date:
    return now.astimezone(ZONE).date()

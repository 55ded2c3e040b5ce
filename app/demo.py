"""The demo accounts: New York instructors with free times in the coming weeks, students, two
lessons and an admin. They are created by the product's own functions, so the demo is no special
case."""

from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from app.accounts import account as accounts
from app.accounts import demo_accounts, password
from app.availability import week
from app.availability.week import Range
from app.bookings import booking
from app.catalog import instructor, service
from app.db import Pool, Tx, transact
from app.statements import statement

WEEKS = 8

EVERY_DAY = "Mon Tue Wed Thu Fri Sat Sun"
WEEKDAYS = "Mon Tue Wed Thu Fri"
_DAY_NAMES = tuple(EVERY_DAY.split())


@dataclass(frozen=True)
class Offer:
    catalog_service: str
    dollars: int
    minutes: tuple[int, ...]
    description: str
    levels: tuple[str, ...] = ()
    audiences: tuple[str, ...] = ()


@dataclass(frozen=True)
class DemoInstructor:
    """`hours`: days of the week, start and end."""

    email: str
    name: str
    headline: str
    bio: str
    years: int
    areas: tuple[str, ...]
    offers: tuple[Offer, ...]
    hours: tuple[tuple[str, str, str], ...]
    settings: dict[str, int] = field(default_factory=dict)
    address: str = ""


INSTRUCTORS = (
    DemoInstructor(
        "sarah.chen@example.com",
        "Sarah Chen",
        "Piano for people who always wanted to",
        "Juilliard-trained, and patient with beginners of any age. "
        "We start with a piece you love and learn the skills it needs.",
        12,
        ("upper-west-side", "morningside-heights", "harlem"),
        (
            Offer(
                "piano",
                80,
                (30, 60, 90),
                "From the first scale to the recital, on your piano or mine.",
            ),
            Offer(
                "music-theory",
                60,
                (60,),
                "Harmony and ear training that you can hear in what you play.",
                ("intermediate", "advanced"),
            ),
        ),
        ((WEEKDAYS, "09:00", "12:00"), (WEEKDAYS, "14:00", "20:00"), ("Sat Sun", "10:00", "16:00")),
        {"travel_buffer_minutes": 15},
        address="214 West 82nd Street, Apt 4B, New York, NY 10024",
    ),
    DemoInstructor(
        "michael.rodriguez@example.com",
        "Michael Rodriguez",
        "Spanish you will use the same day",
        "Born in Bogotá, teaching in Brooklyn. "
        "We speak from the first minute, and grammar comes when you ask for it.",
        8,
        ("park-slope", "carroll-gardens", "downtown-brooklyn"),
        (
            Offer(
                "spanish",
                55,
                (30, 60),
                "Conversation first, at your pace.",
                ("beginner", "intermediate"),
                ("adults", "teens"),
            ),
            Offer("salsa-dance", 65, (60, 90), "On1 and on2, alone or with a partner."),
        ),
        (
            (WEEKDAYS, "11:00", "15:00"),
            (WEEKDAYS, "17:00", "21:00"),
            ("Sat", "10:00", "15:00"),
            ("Sun", "12:00", "17:00"),
        ),
        address="61 Seventh Avenue, Apt 2, Brooklyn, NY 11217",
    ),
    DemoInstructor(
        "priya.nair@example.com",
        "Priya Nair",
        "Yoga that meets you where you are",
        "Hatha and vinyasa, with props and without hurry. "
        "Mornings in the park when the weather is kind.",
        10,
        ("williamsburg", "greenpoint"),
        (
            Offer("yoga", 70, (60, 90), "Private lessons for one or two.", (), ("adults",)),
            Offer("meditation", 50, (30,), "Half an hour of quiet."),
        ),
        ((EVERY_DAY, "07:00", "11:00"), ("Tue Thu", "17:00", "21:00")),
        {"min_advance_minutes": 60},
    ),
    DemoInstructor(
        "daniel.okafor@example.com",
        "Daniel Okafor",
        "Guitar, electric and acoustic",
        "Session player by night. Bring a song; we take it apart and put it back together.",
        15,
        ("astoria", "long-island-city", "sunnyside"),
        (
            Offer("guitar", 65, (30, 60), "Chords, fingerstyle, solos."),
            Offer("bass-guitar", 65, (60,), "Time and tone."),
        ),
        (("Mon Wed Fri", "12:00", "20:00"), ("Sat", "11:00", "17:00")),
        address="30-18 Steinway Street, Studio 3, Astoria, NY 11103",
    ),
    DemoInstructor(
        "rachel.goldberg@example.com",
        "Rachel Goldberg",
        "Math without tears",
        "Former high-school teacher. I find the one step that was missed, and the rest follows.",
        18,
        ("upper-east-side", "east-harlem", "murray-hill"),
        (
            Offer("math", 90, (60,), "Grades 5 to 12.", (), ("kids", "teens")),
            Offer("sat-prep", 110, (60, 90), "A plan, weekly practice, no tricks.", (), ("teens",)),
        ),
        (("Mon Tue Wed Thu", "15:00", "20:00"), ("Sun", "10:00", "18:00")),
        {"free_cancel_hours": 24, "min_advance_minutes": 240},
    ),
    DemoInstructor(
        "amara.johnson@example.com",
        "Amara Johnson",
        "Boxing and strength, at your level",
        "Golden Gloves finalist. Footwork first; the bag comes later.",
        7,
        ("bedford-stuyvesant", "crown-heights", "fort-greene"),
        (
            Offer("boxing", 75, (60,), "Technique, pads, conditioning."),
            Offer("personal-training", 85, (60,), "A plan that fits your week."),
        ),
        ((WEEKDAYS, "06:00", "10:00"), (WEEKDAYS, "18:00", "21:00")),
    ),
    DemoInstructor(
        "kenji.sato@example.com",
        "Kenji Sato",
        "Drawing and watercolor, indoors and out",
        "We look for a long time and draw for a short one. "
        "I bring the materials to the first lesson.",
        9,
        ("east-village", "lower-east-side", "soho"),
        (
            Offer("drawing", 60, (60, 120), "Line, light, proportion."),
            Offer("watercolor", 65, (90,), "Wash, edge, patience."),
        ),
        (("Tue Wed Thu", "10:00", "18:00"), ("Sat Sun", "13:00", "18:00")),
        address="88 East 7th Street, Studio 5, New York, NY 10003",
    ),
    DemoInstructor(
        "lena.fischer@example.com",
        "Lena Fischer",
        "Python and web development, for real projects",
        "Fifteen years of software; I teach what I wish I had learned first. "
        "Bring your own idea, or borrow one of mine.",
        15,
        ("dumbo", "brooklyn-heights", "cobble-hill"),
        (
            Offer("python", 95, (60, 90), "From the first function to a program that others use."),
            Offer("coding-for-kids", 70, (60,), "Games, mostly.", ("beginner",), ("kids",)),
        ),
        ((WEEKDAYS, "16:00", "21:00"), ("Sat", "09:00", "13:00")),
    ),
)

STUDENTS = (("john.smith@example.com", "John Smith"), ("emma.johnson@example.com", "Emma Johnson"))
ADMIN = ("admin@example.com", "Ada Admin")

_lock_accounts = statement("lock_accounts", bool)
_no_accounts = statement("no_accounts", bool)


async def seed(pool: Pool, *, now: datetime) -> bool:
    """Creates the demo accounts in one transaction. Returns False, without changes, if the database
    has any account."""
    count = len(INSTRUCTORS) + len(STUDENTS) + 1
    # One after the other: on a slow machine the last of a queue would be given up.
    hashes = [await password.make_hash(demo_accounts.PASSWORD) for _ in range(count)]

    async def write(tx: Tx) -> bool:
        await _lock_accounts.run(tx)
        if not await _no_accounts.one(tx):
            return False
        password_hashes = iter(hashes)
        services: dict[str, UUID] = {}
        for profile in INSTRUCTORS:
            services |= await _insert_instructor(tx, profile, next(password_hashes), now)
        john, emma = [
            await accounts.insert(
                tx,
                email=email,
                password_hash=next(password_hashes),
                full_name=name,
                role="student",
            )
            for email, name in STUDENTS
        ]
        email, name = ADMIN
        await accounts.insert(
            tx,
            email=email,
            password_hash=next(password_hashes),
            full_name=name,
            role="admin",
        )
        note = "I have played a little, long ago."
        await _book(tx, john, services["piano"], now, days=3, at=time(15), note=note)
        note = "Before a trip to Colombia in spring."
        await _book(tx, emma, services["spanish"], now, days=4, at=time(13), note=note)
        return True

    return await transact(pool, write)


async def _insert_instructor(
    tx: Tx, demo: DemoInstructor, password_hash: str, now: datetime
) -> dict[str, UUID]:
    """Returns the ids of the services by their catalog service."""
    account_id = await accounts.insert(
        tx,
        email=demo.email,
        password_hash=password_hash,
        full_name=demo.name,
        role="instructor",
    )
    profile = {
        "headline": demo.headline,
        "bio": demo.bio,
        "years_experience": demo.years,
        "areas": list(demo.areas),
        "teaching_address": demo.address,
    }
    await instructor.change(tx, account_id, profile | demo.settings, now=now)
    services = {}
    for offer in demo.offers:
        created = await service.offer(
            tx,
            account_id,
            offer.catalog_service,
            hourly_rate_cents=offer.dollars * 100,
            durations_minutes=list(offer.minutes),
            description=offer.description,
            levels=list(offer.levels),
            audiences=list(offer.audiences),
        )
        services[offer.catalog_service] = created.id
    await week.replace_days(tx, account_id, _coming_weeks(demo, _today(now)), now=now)
    return services


def _coming_weeks(demo: DemoInstructor, today: date) -> dict[date, list[Range]]:
    """The instructor's hours on each day of the coming weeks, including today."""
    days = [today + timedelta(days=n) for n in range(7 * WEEKS + 1)]
    return {
        day: [
            (week.minute(start), week.minute(end))
            for names, start, end in demo.hours
            if _DAY_NAMES[day.weekday()] in names.split()
        ]
        for day in days
    }


async def _book(
    tx: Tx, student_id: UUID, service_id: UUID, now: datetime, *, days: int, at: time, note: str
) -> None:
    """Books an hour `days` ahead, never the first free time, so that visitors can book that one."""
    start = datetime.combine(
        _today(now) + timedelta(days=days), at, ZoneInfo(accounts.DEFAULT_ZONE)
    )
    await booking.reserve(
        tx,
        student_id,
        service_id=service_id,
        start=start,
        minutes=60,
        location_type="instructor",
        location="",
        note=note,
        now=now,
    )


def _today(now: datetime) -> date:
    return now.astimezone(ZoneInfo(accounts.DEFAULT_ZONE)).date()

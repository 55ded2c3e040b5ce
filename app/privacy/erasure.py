"""Erasing an account. First it becomes anonymous. Then its lessons are cancelled, which mails the
other participants, and the rest of its data is deleted in short transactions. Only the mails to
them have its name. The worker continues an interrupted erasure (jobs/nightly.py)."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from app import gate, refusal
from app.accounts import password
from app.accounts.credentials import credentials_of
from app.bookings import cancellation, hold
from app.db import Db, Pool, transact
from app.statements import statement

log = structlog.get_logger("privacy")

REASON = "The account was deleted."
# After this time, requests that were under way during an erasure have ended, and the mails about it
# should have been sent.
COMPLETION_DELAY = timedelta(hours=1)
# How long a call deletes data before it leaves the rest to the worker.
CALL_SECONDS = 20
_PAGE = 100
# Attempts to cancel a lesson or end a hold. More than one, because a hold may become a lesson
# meanwhile.
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Lesson:
    """A lesson or a hold that has not started."""

    id: UUID
    instructor_id: UUID
    state: str
    starts_at: datetime


@dataclass(frozen=True, slots=True)
class Progress:
    """What `complete` did: the calendars (ids of instructors) that it changed, and whether the
    erasure is complete."""

    calendars: set[UUID]
    finished: bool


_begin = statement("begin_erasure", str)
_repeat = statement("repeat_erasure", str)
_unfinished_lessons = statement("unfinished_lessons", Lesson)
_erase_texts = statement("erase_texts", int)
_erase_mail = statement("erase_mail", int)
_erase_answers = statement("erase_answers", str)
_finish = statement("finish_erasure", int)
_accounts_to_erase = statement("accounts_to_erase", UUID)
_name_of_erased = statement("name_of_erased", str)
_forget_former_name = statement("forget_former_name", UUID)


async def erase_own(pool: Pool, account_id: UUID, plain_password: str, *, now: datetime) -> None:
    """Makes the account anonymous and ends its sessions; `complete` does the rest. Raises
    ValidationError for a wrong password, and NotAllowed for the only admin."""
    credentials = await credentials_of(pool, account_id)
    if credentials is None:
        raise refusal.NotSignedIn
    await password.check_own(plain_password, credentials.password_hash)
    await _start(pool, account_id, credentials.password_hash, now=now)


async def erase(pool: Pool, account_id: UUID, *, now: datetime) -> None:
    """The same for an admin, without a password. Erasing an account again is no error. Raises
    NotFound, and NotAllowed for the only admin."""
    await _start(pool, account_id, None, now=now)


async def _start(pool: Pool, account_id: UUID, password_hash: str | None, *, now: datetime) -> None:
    async with gate.writer(pool, account_id, student=account_id):
        refused = await transact(
            pool,
            lambda tx: _begin.first(
                tx, account_id=account_id, password_hash=password_hash, now=now
            ),
        )
    match refused:
        case "NOT_FOUND":
            raise refusal.NotFound
        case "PASSWORD_CHANGED":
            raise refusal.ValidationError("Your password was changed just now.", field="password")
        case "LAST_ADMIN":
            raise refusal.NotAllowed("This is the only admin. Make somebody else an admin first.")


async def complete(
    pool: Pool,
    account_id: UUID,
    *,
    now: Callable[[], datetime],
    seconds: float = CALL_SECONDS,
) -> Progress:
    """Cancels the lessons of an account whose erasure has begun, ends its holds, and deletes its
    data. Stops after `seconds`, or when Postgres is unavailable; `complete_all` continues."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + seconds
    calendars = {account_id}
    attempts: Counter[UUID] = Counter()
    finished = False
    try:
        while lessons := await lessons_ahead(pool, account_id, now=now()):
            lessons = [lesson for lesson in lessons if attempts[lesson.id] < _ATTEMPTS]
            for lesson in lessons:
                if clock() > deadline:
                    return Progress(calendars, finished=False)
                attempts[lesson.id] += 1
                calendars.add(lesson.instructor_id)
                await _end(pool, account_id, lesson, now=now())
            if not lessons:
                break
        while await _erase_texts.one(pool, account_id=account_id, reason=REASON, limit=_PAGE):
            if clock() > deadline:
                return Progress(calendars, finished=False)
        await _erase_answers.run(pool, account_id=account_id)
        if not await _erase_mail.one(pool, account_id=account_id, now=now()):
            finished = await _finish.run(pool, account_id=account_id, now=now()) == 1
        await _forget_former_name.run(pool, account_id=account_id, before=now() - COMPLETION_DELAY)
    except refusal.Unavailable:
        log.warning("erasure_interrupted", account=str(account_id))
    return Progress(calendars, finished)


async def complete_all(pool: Pool, *, now: Callable[[], datetime]) -> None:
    """Continues the erasures that were interrupted, and repeats the recent ones: a request that was
    under way may have written something after them."""
    for account_id in await _accounts_to_erase.all(pool, since=now() - COMPLETION_DELAY):
        await _repeat.run(pool, account_id=account_id)
        await complete(pool, account_id, now=now)


async def lessons_ahead(
    db: Db, account_id: UUID, *, now: datetime, limit: int = _PAGE
) -> list[Lesson]:
    """The account's lessons and holds that have not started, in both roles, the earliest first."""
    return await _unfinished_lessons.all(db, account_id=account_id, now=now, limit=limit)


async def name_of_erased(db: Db, account_id: UUID) -> str:
    """The name that others see after the account is erased."""
    return await _name_of_erased.one(db, account_id=account_id)


async def _end(pool: Pool, account_id: UUID, lesson: Lesson, *, now: datetime) -> None:
    """Cancels a lesson, or ends a hold. No error if it has changed or started meanwhile."""
    try:
        if lesson.state == "held":
            await hold.give_up(pool, account_id, lesson.id, now=now, role=None)
        else:
            await cancellation.cancel(pool, account_id, lesson.id, reason=REASON, now=now)
    except (refusal.WrongState, refusal.TooLate, refusal.HoldExpired):
        log.info("lesson_changed_during_erasure", booking=str(lesson.id))

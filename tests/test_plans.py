"""Frequent statements use their indexes, also inside SQL functions and with generic plans."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import app.demo
import app.main
import app.maintenance
import jobs.worker
import realtime.relay
from app.statements import CATALOG, STATEMENTS
from tests.notifications.statements import HOT as NOTIFICATIONS
from tests.privacy.statements import HOT as PRIVACY
from tests.privacy.statements import UNPLANNED
from tests.query_plans import QueryPlans, account_id, large_database, plans
from tests.realtime.statements import HOT as REALTIME

__all__ = ["large_database", "plans"]

NOW = datetime.now(UTC)


async def test_reserving_cancelling_and_reading_a_board_scan_no_table(plans: QueryPlans) -> None:
    now = datetime.now(UTC)
    start = now.replace(hour=16, minute=0, second=0, microsecond=0) + timedelta(days=3)
    reserve = "select refusal from reserve($1, $2, $3, 60, null, 'Here', '', $4)"
    assert await plans.scans(reserve, account_id(3999), account_id(7), start, now) == []
    assert (
        await plans.scans(reserve, account_id(3999), account_id(7), start - timedelta(hours=3), now)
        == []
    )
    booking = await plans.connection.fetchval(
        "select id from booking where instructor_id = $1 limit 1", account_id(7)
    )
    assert (
        await plans.scans(
            "select refusal from cancel_booking($1, $2, '', $3)", account_id(7), booking, now
        )
        == []
    )
    keyed = "select refusal from reserve($1, $2, $3, 60, null, 'Here', '', $4, 'key', '\\x00')"
    at_four = start + timedelta(hours=4)
    assert await plans.scans(keyed, account_id(3998), account_id(7), at_four, now) == []
    cancel = "select refusal from cancel_booking($1, $2, '', $3, 'other key', '\\x00')"
    assert await plans.scans(cancel, account_id(7), booking, now) == []
    assert await plans.scans("select days from board($1, $2, 7)", account_id(7), now.date()) == []
    day = (now + timedelta(days=2)).date().isoformat()
    assert (
        await plans.scans(
            "select version from replace_days($1, $2, null, $3)",
            account_id(7),
            {day: [[540, 720]]},
            now,
        )
        == []
    )
    buffer = "select update_instructor($1, null, null, null, null, null, null, 30, null, $2)"
    assert await plans.scans(buffer, account_id(7), now) == []
    assert await plans.scans("select withdraw_service($1, $1)", account_id(7)) == []


async def test_the_life_of_a_lesson_scans_no_table(plans: QueryPlans) -> None:
    now = datetime.now(UTC)
    start = now.replace(hour=20, minute=0, second=0, microsecond=0) + timedelta(days=3)
    until = now + timedelta(minutes=5)
    hold = (
        "select refusal, booking from reserve($1, $2, $3, 60, null, 'Here', '', $4, null, null, $5)"
    )
    parties = (account_id(3997), account_id(8))
    assert await plans.scans(hold, *parties, start, now, until) == []
    row = await plans.connection.fetchrow(hold, *parties, start, now, until)
    held = row["booking"]["id"]
    assert await plans.scans(hold, *parties, start + timedelta(hours=1), now, until) == []
    for sql in (
        "select refusal from confirm_hold($1, $2, null, 'Here', null, $3, 'k', '\\x00')",
        "select refusal from extend_hold($1, $2, $3, 'public', 'Here', 'Note', $3, 'k', '\\x00')",
        "select refusal from give_up_hold($1, $2, $3, 'k', '\\x00')",
    ):
        assert await plans.scans(sql, parties[0], held, now) == []
    move = "select refusal from reschedule_booking($1, $2, $3, null, $4, 'k', '\\x00')"
    lesson = await plans.connection.fetchrow(
        "select id, student_id from booking where instructor_id = $1"
        " and state = 'confirmed' limit 1",
        account_id(9),
    )
    for hours in (2, 100):
        to = start + timedelta(hours=hours)
        assert await plans.scans(move, lesson["student_id"], lesson["id"], to, now) == []
    for sql in (
        "select refusal from record_outcome($1, $2, 'completed', '', $3, 'k', '\\x00')",
        "select refusal from note_booking($1, $2, '', $3, 'k', '\\x00')",
    ):
        ended = start + timedelta(days=30)
        assert await plans.scans(sql, account_id(9), lesson["id"], ended) == []
    assert await plans.scans("select sweep(100, false, $1)", until) == []
    assert await plans.scans("select sweep(1, true, $1)", until + timedelta(days=3)) == []


DAY = (NOW + timedelta(days=2)).date()
EVERYBODYS: dict[str, Any] = {
    "start": NOW + timedelta(days=9),
    "id": account_id(7),
    "first": DAY,
    "last": None,
    "state": "confirmed",
    "time_zone": "America/New_York",
    "limit": 20,
}
SEARCH: dict[str, Any] = {
    "services": ["guitar"],
    "areas": ["brooklyn"],
    "min_price": None,
    "max_price": 8000,
    "minutes": None,
    "level": None,
    "audiences": None,
    "words": [],
    "limit": 31,
}
HOT: dict[str, dict[str, Any]] = {
    "open_sessions": {"keys": [account_id(1500), account_id(1501)]},
    "insert_session": {
        "account_id": account_id(1500),
        "now": NOW,
        "expires_at": NOW + timedelta(days=7),
        "device": "Firefox on Linux",
        "previous_id": account_id(1500),
        "max_sessions": 20,
    },
    "lock_account": {"account_id": account_id(1500)},
    "use_session": {
        "session_id": account_id(1500),
        "expires_at": NOW + timedelta(days=7),
        "now": NOW,
    },
    "revoke_session": {"session_id": account_id(1500)},
    "revoke_session_of": {
        "session_id": account_id(1500),
        "account_id": account_id(1500),
        "now": NOW,
    },
    "revoke_sessions": {"account_id": account_id(1500), "kept_id": account_id(1500)},
    "sessions_of_account": {
        "account_id": account_id(1500),
        "now": NOW,
        "created_at": None,
        "id": None,
        "limit": 20,
    },
    "ended_sessions": {"session_ids": [account_id(n) for n in range(1, 20)], "now": NOW},
    "candidate": {"email": "1500@example.com"},
    "credentials_of": {"account_id": account_id(1500)},
    "verify_account": {"account_id": account_id(1500), "email": "1500@example.com", "now": NOW},
    "verify_addresses": {"emails": ["1500@example.com", "1501@example.com"], "now": NOW},
    "release_withheld": {"account_ids": [account_id(1500)], "now": NOW},
    "change_email": {
        "account_id": account_id(1500),
        "email": "new@example.com",
        "before": "1500@example.com",
        "password_hash": "",
        "now": NOW,
    },
    "is_email_taken": {"email": "1500@example.com"},
    "change_profile": {
        "account_id": account_id(1500),
        "full_name": "New",
        "time_zone": None,
        "clock": "24",
    },
    "change_password": {"account_id": account_id(1500), "before": "", "after": "x"},
    "totp_of": {"account_id": account_id(1500)},
    "has_second_factor": {"account_id": account_id(1500)},
    "start_totp": {"account_id": account_id(1500), "secret": "secret"},
    "use_totp_step": {
        "account_id": account_id(1500),
        "secret": "secret",
        "step": 1,
        "now": NOW,
    },
    "delete_totp": {"account_id": account_id(1500)},
    "encrypt_totp": {"account_id": account_id(1500), "secret": "secret", "encrypted": "v1."},
    "lock_confirmed_totp": {"account_id": account_id(1500)},
    "recovery_codes_left": {"account_id": account_id(1500)},
    "replace_recovery_codes": {"account_id": account_id(1500), "hashes": [b"new", b"newer"]},
    "use_recovery_code": {"account_id": account_id(1500), "hash": b"1"},
    "insert_account": {
        "email": "new@example.com",
        "password_hash": "",
        "full_name": "New",
        "time_zone": "UTC",
        "role": "instructor",
        "verified_at": None,
    },
    "insert_account_notification": {
        "kind": "verification",
        "account_id": account_id(1500),
        "address": None,
        "now": NOW,
    },
    "replace_password_hash": {"account_id": account_id(1500), "before": "", "after": "x"},
    "take_role": {"account_id": account_id(1500), "role": "instructor"},
    "removed_roles": {"account_id": account_id(1500)},
    "services_of": {"instructor_id": account_id(7), "after": None, "limit": 20},
    "insert_service": {
        "instructor_id": account_id(7),
        "catalog_service": "guitar",
        "description": "",
        "hourly_rate_cents": 7000,
        "durations_minutes": [60],
        "location_types": ["public"],
        "levels": [],
        "audiences": [],
    },
    "update_service": {
        "id": account_id(7),
        "instructor_id": account_id(7),
        "description": None,
        "hourly_rate_cents": 8000,
        "durations_minutes": None,
        "location_types": None,
        "levels": None,
        "audiences": None,
        "active": True,
    },
    "can_teach_at": {"instructor_id": account_id(7), "location_types": ["instructor"]},
    "service_state": {"instructor_id": account_id(7), "id": account_id(7)},
    "withdrawn_services": {"instructor_id": account_id(7)},
    "set_teaching": {"id": account_id(7), "teaches": False},
    "booking_parties": {"booking_id": account_id(1)},
    "cancellations": {"booking_ids": [account_id(1)]},
    "instructor_of_service": {"id": account_id(7)},
    "week": {"instructor_id": account_id(7), "start": NOW.date()},
    "day": {"instructor_id": account_id(7), "day": NOW.date()},
    "has_hours": {"instructor_id": account_id(7), "now": NOW},
    "change_ranges": {
        "instructor_id": account_id(7),
        "preview": False,
        "now": NOW,
        "changes": [{"action": "add", "date": DAY, "start": 540, "end": 600}],
    },
    "fill_days": {
        "instructor_id": account_id(7),
        "pattern": {},
        "first": DAY,
        "last": DAY,
        "preview": False,
        "now": NOW,
    },
    "fill_from_week": {
        "instructor_id": account_id(7),
        "source": DAY,
        "first": DAY,
        "last": DAY,
        "preview": False,
        "now": NOW,
    },
    "standing_pattern": {"instructor_id": account_id(7)},
    "store_standing_pattern": {"instructor_id": account_id(7), "days": {}, "now": NOW},
    "remove_standing_pattern": {"instructor_id": account_id(7)},
    "standing_patterns": {"after": account_id(7)},
    "fill_by_standing_pattern": {"instructor_id": account_id(7), "now": NOW},
    "edited_weeks": {"instructor_id": account_id(7), "first": DAY},
    "calendar_lessons": {
        "instructor_id": account_id(7),
        "from_instant": NOW,
        "to_instant": NOW + timedelta(days=7),
    },
    "gaps": {"instructor_id": account_id(7), "day": DAY},
    "blackouts": {"instructor_id": account_id(7), "after": DAY, "limit": 20},
    "add_blackouts": {
        "instructor_id": account_id(7),
        "first": DAY,
        "last": DAY,
        "reason": "",
        "now": NOW,
    },
    "remove_blackout": {"instructor_id": account_id(7), "day": DAY},
    "board": {"instructor_id": account_id(7), "first": NOW.date(), "days": 7},
    "public_calendar": {
        "instructor_id": account_id(7),
        "first": None,
        "last": None,
        "horizon": 30,
        "parts": True,
        "now": NOW,
    },
    "next_available": {
        "instructor_id": account_id(7),
        "minutes": None,
        "now": NOW,
        "latest": NOW + timedelta(days=90),
    },
    "free_ranges": {"instructor_id": account_id(7), "first": NOW.date(), "days": 5},
    "lessons_of_student": {
        "student_id": account_id(1500),
        "from_instant": NOW,
        "to_instant": NOW + timedelta(days=2),
        "now": NOW,
    },
    "next_starts": {
        "instructors": [account_id(7), account_id(8)],
        "minutes": [60, 60],
        "now": NOW,
        "latest": NOW + timedelta(days=90),
    },
    "free_next": {
        "limit": 72,
        "now": NOW,
        "latest": NOW + timedelta(days=90),
    },
    "free_times": {
        "instructors": [account_id(7), account_id(8)],
        "minutes": [60, 60],
        "days": 15,
        "now": NOW,
    },
    "store_next_starts": {
        "instructors": [account_id(7)],
        "minutes": [60],
        "revisions": [1],
        "starts": [NOW],
        "valid_until": [NOW],
    },
    "outdated_next_starts": {"now": NOW - timedelta(days=1), "limit": 100},
    "listed_services": {"max_instructors": 5},
    "sitemap_parts": {"size": 100, "max_parts": 5},
    "sitemap_instructors": {"after": account_id(7), "limit": 100},
    "similar_services": {
        "service_id": account_id(7),
        "reach": 20,
        "now": NOW,
        "latest": NOW + timedelta(days=14),
        "limit": 6,
    },
    "cards": {
        "services": [account_id(7), account_id(8)],
        "minutes": [60, 60],
        "firsts": [None, DAY],
        "cached_firsts": [None, DAY],
        "cached_epochs": [None, "other"],
        "cached_versions": [None, 1],
        "now": NOW,
        "days": 14,
    },
    "instructor": {"id": account_id(7)},
    **{
        f"search_page by {sort}": SEARCH
        | {
            "sort": sort,
            "after_start": None,
            "after_rate": None,
            "after_instructor": None,
            "after_id": None,
            "latest": NOW + timedelta(days=90),
        }
        for sort in ("soonest", "price", "newest")
    },
    **{
        f"search_free by {sort}": SEARCH
        | {
            "sort": sort,
            "after_start": None,
            "after_rate": None,
            "after_instructor": None,
            "after_id": None,
            "days": [DAY],
            "from_minute": 720,
            "to_minute": 1020,
            "now": NOW,
        }
        for sort in ("soonest", "price", "newest")
    },
    "record_searches": {
        "visitor_ids": [account_id(7)],
        "are_guests": [False],
        "queries": ["piano"],
        "search_ids": [account_id(7)],
        "counts": [1],
        "times": [NOW],
        "newest": 10,
    },
    "record_interactions": {
        "search_ids": [account_id(7)],
        "visitor_ids": [account_id(7)],
        "are_guests": [False],
        "instructor_ids": [account_id(7)],
        "kinds": ["shown"],
        "times": [NOW],
    },
    "record_booked_results": {
        "visitor_ids": [account_id(7)],
        "instructor_ids": [account_id(7)],
        "times": [NOW],
    },
    "adopt_searches": {"guest_id": account_id(7), "account_id": account_id(8), "newest": 10},
    "recent_searches": {
        "visitor_id": account_id(7),
        "before": None,
        "before_id": None,
        "limit": 10,
    },
    "delete_search": {"id": account_id(7), "visitor_id": account_id(7)},
    "delete_searches": {"visitor_id": account_id(7)},
    "booking": {"id": account_id(1)},
    "all_bookings": EVERYBODYS,
    "all_bookings_of_account": EVERYBODYS | {"account_id": account_id(1500)},
    "all_bookings_of_instructor": EVERYBODYS
    | {"instructor_id": account_id(7), "student_id": account_id(1500)},
    "local_start": {"service_id": account_id(7), "day": DAY, "wall_clock": "09:30"},
    "lessons_between": {"first": NOW, "last": NOW + timedelta(days=1)},
    "can_book": {"account_id": account_id(1500)},
    "newest_accounts": {"before": account_id(3000), "limit": 20},
    "newest_accounts_of_role": {"role": "student", "before": account_id(3000), "limit": 20},
    "accounts_with_words": {
        "pattern": "%3999@%",
        "role": "student",
        "before": account_id(4000),
        "limit": 20,
    },
    "account_for_staff": {"id": account_id(7)},
    "set_roles": {
        "actor_id": account_id(7),
        "account_id": account_id(1500),
        "roles": ["student", "instructor"],
    },
    "booking_progress": {"id": account_id(1)},
    "booking_terms": {"id": account_id(1)},
    "last_place": {"student_id": account_id(1500)},
    "booking_history": {
        "booking_id": account_id(1),
        "with_notes": True,
        "after": 0,
        "limit": 20,
    },
    "booking_histories": {"booking_ids": [account_id(1), account_id(2)]},
    "students_of_instructor": {
        "instructor_id": account_id(7),
        "student_ids": [account_id(1500), account_id(1501)],
        "now": NOW,
    },
    "instructor_timeline": {"account_id": account_id(7), "since": NOW, "limit": 200},
    "instructor_stats": {"instructor_id": account_id(7), "now": NOW},
    "create_calendar_feed": {"account_id": account_id(7), "now": NOW},
    "calendar_feed": {"account_id": account_id(7)},
    "delete_calendar_feed": {"account_id": account_id(7)},
    "account_of_calendar_feed": {"id": account_id(7)},
    "calendar_feed_lessons": {
        "account_id": account_id(1500),
        "since": NOW - timedelta(days=90),
        "limit": 1000,
    },
    "student_bookings_upcoming": {
        "account_id": account_id(1500),
        "now": NOW,
        "start": NOW - timedelta(days=1),
        "id": account_id(0),
        "limit": 20,
    },
    "instructor_bookings_upcoming": {
        "account_id": account_id(7),
        "now": NOW,
        "start": NOW - timedelta(days=1),
        "id": account_id(0),
        "limit": 20,
    },
    "student_bookings_earlier": {
        "account_id": account_id(1500),
        "states": ["confirmed"],
        "ended_by": NOW,
        "start": NOW,
        "id": account_id(0),
        "limit": 20,
    },
    "instructor_bookings_earlier": {
        "account_id": account_id(7),
        "states": ["cancelled"],
        "ended_by": NOW,
        "start": NOW,
        "id": account_id(0),
        "limit": 20,
    },
}


@pytest.mark.parametrize("name", HOT)
async def test_hot_reads_scan_no_table(plans: QueryPlans, name: str) -> None:
    sql, parameters = CATALOG[name.partition(" ")[0]]
    assert await plans.scans(sql, *(HOT[name][parameter] for parameter in parameters)) == []


# Together these import every module that declares a statement.
PROCESSES = (app.demo, app.main, app.maintenance, jobs.worker, realtime.relay)

# Statements that other tests cover, or that need no test.
COVERED_ELSEWHERE = {
    # called as functions in the first tests above
    "cancel_booking",
    "record_outcome",
    "note_booking",
    "reschedule_booking",
    "confirm_hold",
    "extend_hold",
    "give_up_hold",
    "withdraw_service",
    "replace_days",
    "reserve",
    "sweep_bookings",
    "update_instructor",
    # retention has a test of plans (tests/privacy)
    "delete_old_audit",
    "delete_old_changes",
    "delete_old_dev_mails",
    "delete_old_keys",
    "clear_old_addresses",
    "delete_old_notifications",
    "delete_old_sessions",
    "delete_old_search_history",
    "delete_old_searches",
    "delete_old_interactions",
    # one row by its key, inside a delivery or a job
    "claim_nightly_job",
    "dev_mail",
    "drop_notification",
    "finish_nightly_job",
    "release_nightly_job",
    # once a night, or for admins: a few rows a day
    "roll_up_searches",
    "search_totals",
    "top_queries",
    "queries_without_results",
    "last_retention",
    "record_retention",
    "insert_dev_mail",
    "mark_notification_failed",
    "mark_notification_sent",
}
NO_GROWING_TABLE = {
    "applied_migrations",
    "areas",
    "areas_by_slug",
    "areas_named",
    "catalog_services",
    "categories",
    "database_answers",
    "database_numbers",
    "is_in_catalog",
    "is_zone",
    "permissions_of_roles",
    "search_vocabulary",
    "raise_epoch",
    "try_relay_lock",
    "write_temporarily",
}
OPERATOR_COMMANDS = {
    "contents",
    "delete_totp_of_email",
    "demo_accounts",
    "drop_everything",
    "end_other_connections",
    "export_snapshot",
    "has_no_tables",
    "lock_accounts",
    "make_admin",
    "mark_past_mails",
    "privacy_numbers",
    "no_accounts",
    "owns_schema",
    "plain_totps",  # at the start of the worker
    "raise_site_mode",
    "read_consistently",
    "recreate_schema",
    "replace_epoch_seed",
    "set_site_mode",
    "without_timeouts",
    "wait_longer",
}


def test_public_statements_are_cancelled_after_two_seconds() -> None:
    public = {
        "instructor",
        "search_page",
        "search_free",
        "cards",
        "public_calendar",
        "next_available",
    }
    public |= {"board", "next_starts", "free_next", "free_times", "similar_services"}
    public |= {"listed_services", "sitemap_parts", "sitemap_instructors"}
    limits = {each.name: each.seconds for each in STATEMENTS if each.name in public}
    assert limits == dict.fromkeys(public, 2)


def test_every_statement_has_a_plan_test_or_needs_none() -> None:
    planned = {*(name.partition(" ")[0] for name in HOT), *NOTIFICATIONS, *REALTIME, *PRIVACY}
    planned |= UNPLANNED
    tools = ("bench", "verdict", "crowd", "delete_crowd")
    names = {statement.name for statement in STATEMENTS if not statement.name.startswith(tools)}
    assert names - planned - COVERED_ELSEWHERE - NO_GROWING_TABLE - OPERATOR_COMMANDS == set()

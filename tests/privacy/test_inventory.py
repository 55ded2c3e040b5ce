"""Every column that can hold personal data is exported and erased, or has a reason not to be. The
tests fill each one with a marker, export, erase, and search the whole database for what is left."""

import json
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import httpx
import pytest

from app.bookings import booking
from app.db import Pool
from app.privacy import erasure
from app.settings import Settings
from tests import factories

NOW = datetime.now(UTC)

# Classes of columns. The first two are proven below.
EXPORTED = "exported and erased"
SECRET = "erased, and not exported: a secret, a copy, or the product's own record"
# These hold nothing about a person, or nothing that could name one.
ID = "an id, which leads to no name once the account is erased"
WORD = "one of a few words of the product"
SHARED = "the same for everybody: catalog, settings, schema"
TERMS = "terms of a booking or settings of a calendar, kept as a business record"

COLUMNS: dict[str, dict[str, str]] = {
    "account": {
        "id": ID, "email": EXPORTED, "full_name": EXPORTED, "password_hash": SECRET,
        "time_zone": EXPORTED, "clock": WORD,
        # Only while an erasure is under way.
        "former_name": SECRET,
    },
    "account_role": {"account_id": ID, "role": WORD},
    "area": {"slug": SHARED, "name": SHARED, "borough": SHARED},
    "area_term": {"term": SHARED, "area": SHARED},
    "availability": {"instructor_id": ID},
    "blackout": {"instructor_id": ID, "reason": EXPORTED},
    "booking": {
        "id": ID, "instructor_id": ID, "student_id": ID, "service_id": ID, "state": WORD,
        "service_name": TERMS, "location_type": WORD, "location": EXPORTED, "note": EXPORTED,
        "instructor_note": EXPORTED, "cancel_reason": EXPORTED,
    },
    "booking_audit": {
        "booking_id": ID, "actor_id": ID, "event": WORD, "from_state": WORD, "to_state": WORD,
        "reason": EXPORTED, "override": WORD,
    },
    "calendar": {"instructor_id": ID, "time_zone": TERMS},
    "calendar_feed": {"account_id": ID, "id": SECRET},
    "catalog_service": {"slug": SHARED, "name": SHARED, "category": SHARED},
    "catalog_term": {"term": SHARED, "catalog_service": SHARED},
    "category": {"slug": SHARED, "name": SHARED},
    "category_term": {"term": SHARED, "category": SHARED},
    "dev_mail": {
        "sender": SHARED, "recipient": EXPORTED, "subject": EXPORTED, "body_text": EXPORTED,
        "body_html": SECRET, "calendar": EXPORTED,
    },
    "edited_week": {"instructor_id": ID},
    "idempotency_key": {
        "account_id": ID, "key": EXPORTED, "answer": SECRET, "fingerprint": SECRET,
    },
    "instructor": {
        "id": ID, "headline": EXPORTED, "bio": EXPORTED, "teaching_address": EXPORTED,
    },
    "instructor_area": {"instructor_id": ID, "area": EXPORTED},
    "migration": {"name": SHARED, "sha256": SHARED},
    "next_start": {"instructor_id": ID},
    "nightly_job": {"name": SHARED},
    "notification": {
        "kind": WORD, "recipient_id": ID, "booking_id": ID, "last_error": EXPORTED,
        "dropped_reason": WORD, "address": EXPORTED,
    },
    "notification_preference": {"account_id": ID, "kind": EXPORTED},
    # Board days have ranges of times only, and events have ids (sql/functions/step.sql).
    "outbox": {"instructor_id": ID, "days": TERMS, "events": ID},
    "outbox_unpublished": {"instructor_id": ID},
    "permission": {"name": SHARED, "audience": SHARED},
    "removed_role": {"account_id": ID, "role": WORD},
    "recovery_code": {"account_id": ID, "hash": SECRET},
    "role": {"name": SHARED},
    "role_permission": {"role": SHARED, "permission": SHARED},
    "search": {"id": ID, "visitor_id": SECRET, "query": EXPORTED},
    # Queries of several visitors, without them (app/search/report.py).
    "search_day": {"query": SHARED},
    "search_history": {"id": ID, "visitor_id": SECRET, "query": EXPORTED, "folded": SECRET},
    "search_interaction": {
        "search_id": ID, "visitor_id": SECRET, "instructor_id": ID, "kind": WORD,
    },
    "service": {
        "id": ID, "instructor_id": ID, "catalog_service": TERMS, "description": EXPORTED,
        "location_types": WORD, "levels": WORD, "audiences": WORD, "document": SECRET,
    },
    "session": {"id": ID, "account_id": ID, "device": EXPORTED},
    "site": {"epoch_seed": SHARED, "mode": SHARED},
    "standing_pattern": {"instructor_id": ID, "days": EXPORTED},
    "totp": {"account_id": ID, "secret": SECRET},
}  # fmt: skip
# Their values cannot be markers.
UNMARKED = {
    "instructor_area.area", "notification_preference.kind", "calendar_feed.id",
    "search.visitor_id", "search_history.visitor_id", "search_interaction.visitor_id",
    "service.document", "account.time_zone", "account.former_name", "idempotency_key.fingerprint",
    "recovery_code.hash",
}  # fmt: skip


async def columns(pool: Pool) -> dict[str, list[str]]:
    """The columns that can hold personal data, by table: text, JSON, bytes, ids, arrays and search
    documents, and whatever refers to an account."""
    rows = await pool.fetch(
        """select c.relname as "table", a.attname as "column"
           from pg_attribute a
           join pg_class c on c.oid = a.attrelid
           join pg_type t on t.oid = a.atttypid
           left join pg_type base on base.oid = t.typbasetype
           where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' and a.attnum > 0
             and not a.attisdropped
             and (coalesce(base.typname, t.typname) in (
                    'text', 'citext', 'varchar', 'bpchar', 'name', 'json', 'jsonb', 'bytea', 'uuid',
                    'tsvector', 'inet', 'cidr', 'macaddr', 'xml', 'hstore')
                  or t.typcategory in ('A', 'C') and t.typname <> '_int4'
                  or exists (
                    select from pg_constraint f
                    where f.conrelid = c.oid and f.contype = 'f'
                      and f.confrelid = 'account'::regclass and a.attnum = any (f.conkey)))
           order by 1, 2"""
    )
    by_table: dict[str, list[str]] = {}
    for row in rows:
        by_table.setdefault(row["table"], []).append(row["column"])
    return by_table


async def test_every_column_that_can_hold_personal_data_is_classified(pool: Pool) -> None:
    present = await columns(pool)
    for table, names in present.items():
        for name in names:
            assert name in COLUMNS.get(table, {}), (
                f"{table}.{name} is new. If it can hold personal data, export it "
                "(sql/queries/export.sql), erase it (sql/functions/erasure.sql) and classify it "
                "here as EXPORTED; otherwise say here why not."
            )
    classified = {(table, name) for table, names in COLUMNS.items() for name in names}
    obsolete = classified - {(table, name) for table, names in present.items() for name in names}
    assert obsolete == set(), "these columns no longer exist"


def marker(table: str, column: str) -> str:
    return f"mark-{table}-{column}".replace("_", "-")


def marked(*classes: str) -> list[str]:
    return [
        marker(table, column)
        for table, names in COLUMNS.items()
        for column, kind in names.items()
        if kind in classes and f"{table}.{column}" not in UNMARKED
    ]


async def fill(pool: Pool) -> tuple[UUID, UUID]:
    """An account with data in every table, and another one. Returns their ids."""
    quilla = await factories.instructor(pool, "Quilla", roles=("instructor", "student"))
    dora = await factories.instructor(pool, "Dora", service="guitar")
    ben = await factories.student(pool, "Ben")
    for number, service in enumerate((dora.service_id, quilla.service_id, quilla.service_id)):
        student = quilla.id if service == dora.service_id else ben.id
        await booking.reserve(
            pool, student, service_id=service, start=quilla.at(f"1{number}:00", day=3), minutes=60,
            location_type=("student", "instructor", "public")[number], location="12 Main St",
            note="", now=NOW,
        )  # fmt: skip
    past = timedelta(days=7)
    await pool.execute(
        """update booking set
             during = tstzrange(lower(during) - $1::interval, upper(during) - $1::interval),
             blocked = tstzrange(lower(blocked) - $1, upper(blocked) - $1), state = 'completed'
           where location_type <> 'public'""",
        past,
    )

    def m(name: str) -> str:
        return marker(*name.split("."))

    async def run(sql: str, *values: object) -> None:
        await pool.execute(sql, *values)

    # Texts of both people in her bookings, in either role.
    await run(
        """update booking set cancel_reason = $2, location = case
             when location_type <> 'public' then $3 else location end,
             note = case when student_id = $1 then $4 else 'Dear Quilla' end,
             instructor_note = case when instructor_id = $1 then $5 else 'Quilla talks a lot' end
           where state = 'completed'""",
        quilla.id, m("booking.cancel_reason"), m("booking.location"), m("booking.note"),
        m("booking.instructor_note"),
    )  # fmt: skip
    await run(
        """insert into booking_audit (booking_id, at, actor_id, event, to_state, reason)
           select id, now(), $1, 'cancelled', 'cancelled', $2 from booking
           where state = 'completed'""",
        quilla.id, m("booking_audit.reason"),
    )  # fmt: skip
    await run(
        """update account set full_name = $2, email = $3, password_hash = $4, clock = '24',
             time_zone = 'Pacific/Chatham' where id = $1""",
        quilla.id, m("account.full_name"), m("account.email"), m("account.password_hash"),
    )  # fmt: skip
    await run(
        "update instructor set headline = $2, bio = $3, teaching_address = $4 where id = $1",
        quilla.id, m("instructor.headline"), m("instructor.bio"), m("instructor.teaching_address"),
    )  # fmt: skip
    await run("insert into instructor_area values ($1, 'astoria')", quilla.id)
    await run(
        "update service set description = $2 where instructor_id = $1",
        quilla.id, m("service.description"),
    )  # fmt: skip
    await run(
        "insert into blackout (instructor_id, day, reason) values ($1, current_date + 20, $2)",
        quilla.id, m("blackout.reason"),
    )  # fmt: skip
    await run("insert into edited_week values ($1, '2026-11-23', now())", quilla.id)
    await run(
        "insert into standing_pattern values ($1, $2, now())",
        quilla.id, {"1": m("standing_pattern.days")},
    )  # fmt: skip
    await run(
        """insert into session (account_id, expires_at, device)
           values ($1, now() + interval '1 day', $2)""",
        quilla.id, m("session.device"),
    )  # fmt: skip
    await run("insert into totp (account_id, secret) values ($1, $2)", quilla.id, m("totp.secret"))
    await run("insert into removed_role values ($1, 'admin')", quilla.id)
    await run("insert into recovery_code values ($1, '\\x0123')", quilla.id)
    await run("insert into calendar_feed (account_id, created_at) values ($1, now())", quilla.id)
    await run("insert into notification_preference values ($1, 'reminder', false)", quilla.id)
    await run(
        """insert into notification (kind, recipient_id, due_at, address, last_error)
           values ('email_change', $1, now(), $2, $3)""",
        quilla.id, m("notification.address"), m("notification.last_error"),
    )  # fmt: skip
    # Her mails, and one to Ben with her name.
    await run(
        """insert into dev_mail (notification_id, created_at, sender, recipient, subject, body_text,
             body_html, calendar)
           select id, now() - interval '1 hour', 'us', $2::text, $3, $4, $5, $6 from notification
           where recipient_id = $1 and address is not null
           union all
           select id, now() - interval '1 hour', 'us', 'ben', $7, $7, $7, $7 from notification
           where recipient_id = $8""",
        quilla.id, m("dev_mail.recipient"), m("dev_mail.subject"), m("dev_mail.body_text"),
        m("dev_mail.body_html"), m("dev_mail.calendar"), m("account.full_name"), ben.id,
    )  # fmt: skip
    lesson = await pool.fetchval(
        "select booking_json(id) from booking where student_id = $1", ben.id
    )
    answer = {**lesson, "note": m("idempotency_key.answer"), "location": m("instructor.bio")}
    # Ada, an admin, has booked one of them for Ben.
    ada = await factories.admin(pool)
    await run(
        """insert into booking_audit (booking_id, at, actor_id, event, to_state)
           select id, now(), $1, 'created', 'confirmed' from booking where state = 'confirmed'""",
        ada.id,
    )
    for account_id, key in (
        (ada.id, "Ada’s key"),
        (quilla.id, m("idempotency_key.key")),
        (ben.id, "Ben’s key"),
    ):
        await run(
            "insert into idempotency_key values ($1, $2, $3, now(), '\\x00')",
            account_id, key, answer | {"location_type": "instructor"},
        )  # fmt: skip
    await run(
        """insert into search_history (visitor_id, is_guest, query, folded, searched_at)
           values ($1, false, $2, $3, now())""",
        quilla.id, m("search_history.query"), m("search_history.folded"),
    )  # fmt: skip
    await run(
        "insert into search values ($1, $2, false, $3, 1, now())",
        uuid4(), quilla.id, m("search.query"),
    )  # fmt: skip
    await run(
        """insert into search_interaction (search_id, visitor_id, is_guest, instructor_id, kind, at)
           values ($1, $2, false, $3, 'shown', now())""",
        uuid4(), quilla.id, dora.id,
    )  # fmt: skip
    return quilla.id, ben.id


async def content(pool: Pool) -> dict[str, str]:
    """The rows of each table, as text."""
    tables = COLUMNS.keys()
    return {
        table: json.dumps(
            [row["row"] for row in await pool.fetch(f"select to_jsonb(t) as row from {table} t")]
        )
        for table in tables
    }


async def test_everything_is_exported_and_nothing_is_left_after_erasure(
    pool: Pool, client: httpx.AsyncClient, settings: Settings
) -> None:
    quilla, _ = await fill(pool)
    before = await content(pool)
    for mark in marked(EXPORTED, SECRET):
        assert any(mark in rows for rows in before.values()), f"the test stored no {mark}"

    headers = {"Authorization": f"Bearer {await factories.token_of(pool, quilla, settings)}"}
    document = (await client.get("/api/privacy/export", headers=headers)).text
    assert [mark for mark in marked(EXPORTED) if mark not in document] == []
    assert [mark for mark in marked(SECRET) if mark in document] == []
    assert "Pacific/Chatham" in document
    assert json.loads(document)["account"]["recovery_codes_left"] == 1
    assert "Dear Quilla" not in document
    assert "Quilla talks a lot" not in document

    ada = await factories.admin(pool, "Abe")
    headers = {"Authorization": f"Bearer {await factories.token_of(pool, ada.id, settings)}"}
    path = f"/api/privacy/accounts/{quilla}/erasure"
    assert (await client.post(path, headers=headers)).status_code == 204
    assert await pool.fetchval("select erased_at from account where id = $1", quilla)
    # The name for the mails to others is kept until they are sent, or for an hour.
    assert marker("account", "full_name") in (await content(pool))["account"]
    later = datetime.now(UTC) + erasure.COMPLETION_DELAY
    await erasure.complete_all(pool, now=lambda: later)
    after = await content(pool)
    remains = [(table, mark) for table, rows in after.items() for mark in marked(EXPORTED, SECRET)
            if mark in rows]  # fmt: skip
    assert remains == []
    for table, rows in after.items():
        for word in ("Quilla", "Chatham"):
            assert word not in rows, table
    owned = {
        "account_role": "account_id", "availability": "instructor_id", "blackout": "instructor_id",
        "calendar_feed": "account_id", "edited_week": "instructor_id", "totp": "account_id",
        "idempotency_key": "account_id", "instructor_area": "instructor_id",
        "next_start": "instructor_id", "notification_preference": "account_id",
        "recovery_code": "account_id", "removed_role": "account_id",
        "search": "visitor_id", "search_history": "visitor_id", "search_interaction": "visitor_id",
        "session": "account_id", "standing_pattern": "instructor_id",
    }  # fmt: skip
    for table, column in owned.items():
        assert (
            await pool.fetchval(f"select count(*) from {table} where {column} = $1", quilla) == 0
        ), table


@pytest.mark.parametrize("kind", ["text", "jsonb", "uuid", "text[]", "bytea", "inet"])
async def test_a_new_column_of_this_type_is_noticed(pool: Pool, kind: str) -> None:
    await pool.execute(f"alter table service add column surprise {kind}")
    with pytest.raises(AssertionError, match=r"service\.surprise is new"):
        await test_every_column_that_can_hold_personal_data_is_classified(pool)

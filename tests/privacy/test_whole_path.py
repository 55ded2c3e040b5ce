"""From registration to erasure, with the product's own processes: nothing personal reaches logs,
metrics, public answers or Redis, and the other people's screens learn of everything."""

import asyncio
import re
from datetime import UTC

import httpx
from redis.asyncio import Redis

from app.db import Pool
from app.privacy import erasure
from app.settings import Settings
from app.web import utc_now
from tests import factories
from tests.cluster import PATIENCE
from tests.factories import Instructor
from tests.processes import Starter
from tests.realtime.screens import Screen, Screens

ADDRESS = "203.0.113.77"
# What nobody but the account and its instructors may see.
PERSONAL = (
    "quilla.marker@example.com", "Quilla Marker", "17 Marker Lane", "allergic to markers",
    "marker was ill", "piano for a marker", "MarkerPassword123!", ADDRESS,
)  # fmt: skip


async def in_redis(settings: Settings) -> str:
    """All keys and values, as text."""
    async with Redis.from_url(settings.redis_url.get_secret_value()) as redis:
        parts: list[object] = []
        async for key in redis.scan_iter():
            parts.append(key)
            match await redis.type(key):
                case b"string":
                    parts.append(await redis.get(key))
                case b"zset":
                    parts.append(await redis.zrange(key, 0, -1))
                case b"hash":
                    parts.append(await redis.hgetall(key))
        return repr(parts)


async def message_texts(settings: Settings, messages: list[str]) -> None:
    """Collects everything that is published in Redis, until it is cancelled."""
    async with Redis.from_url(settings.redis_url.get_secret_value()) as redis, redis.pubsub() as p:
        await p.psubscribe("*")
        async for message in p.listen():
            messages += [repr(message)]


async def test_nothing_personal_reaches_logs_metrics_public_answers_or_redis(
    start: Starter, pool: Pool, settings: Settings
) -> None:
    anna = await factories.instructor(pool, "Anna")
    annas_token = await factories.token_of(pool, anna.id, settings)
    web, worker, relay, other = (
        start(name, log_level="debug", rate_limits="on")
        for name in ("serve", "worker", "relay", "serve")
    )
    messages: list[str] = []
    listening = asyncio.create_task(message_texts(settings, messages))
    screens = Screens(web.url)
    from_outside = {"X-Forwarded-For": ADDRESS}
    async with httpx.AsyncClient(base_url=web.url, headers=from_outside, timeout=PATIENCE) as http:
        account = {
            "email": PERSONAL[0], "full_name": PERSONAL[1], "role": "student",
            "password": "MarkerPassword123!",
        }  # fmt: skip
        answer = await http.post("/api/auth/register", json=account)
        assert answer.status_code == 201
        token, quilla = answer.json()["token"], answer.json()["account"]["id"]
        http.headers["Authorization"] = f"Bearer {token}"
        await confirm(http, pool)
        await http.post("/api/auth/login", json={"email": PERSONAL[0], "password": "wrong"})
        for path in ("/api/search", "/search"):
            await http.get(path, params={"q": PERSONAL[5]})
        annas = await screens.open(token=annas_token)
        await annas.watch(anna)
        own = await screens.open(token=token)
        lessons = []
        for hour in (10, 12):
            booked = await http.post("/api/bookings", json={
                "service_id": str(anna.service_id), "duration_minutes": 60,
                "start": anna.at(f"{hour}:00", day=3).astimezone(UTC).isoformat(),
                "location_type": "student", "location": PERSONAL[2], "note": PERSONAL[3],
            })  # fmt: skip
            assert booked.status_code == 201
            lessons.append(booked.json()["id"])
        await http.post(f"/api/bookings/{lessons[0]}/cancellation", json={"reason": PERSONAL[4]})
        await mail_of(pool, anna.email, "Cancelled")
        public = await public_answers(web.url, anna)
        watched = await screens.open()
        public += repr(await watched.shows(anna))
        assert (await http.get("/api/privacy/export")).status_code == 200

        before = len(annas.messages)
        await erase(http, account["password"])
        assert await own.ends() == 4403
        message = await annas.receives("booking", after=before, event="cancelled")
        assert message["booking"]["id"] == lessons[1]
        assert message["booking"]["student"]["name"] == "Former student"
        # The mail to her instructor has her name.
        assert PERSONAL[1] in await mail_of(pool, anna.email, f"with {PERSONAL[1]}")
        public += await public_answers(web.url, anna)
        await disappears(http, anna, annas_token, watched, other.url)
    await screens.close()
    redis = await in_redis(settings)
    listening.cancel()
    for process in (web, worker, relay, other):
        assert process.stop() == 0
    assert any(str(anna.id) in message for message in messages)
    assert quilla in web.log  # of the security log
    for text in PERSONAL:
        assert text not in web.log + worker.log + relay.log + other.log, text
        assert text not in public, text
        assert text not in redis + "".join(messages), text
    await forget_mail(pool)
    stored = await in_database(pool)
    assert [text for text in PERSONAL if text in stored] == []


async def forget_mail(pool: Pool) -> None:
    """Removes the mail to Anna, which would have been sent, and the name that was kept for it."""
    await pool.execute("delete from dev_mail where subject like '%with Quilla Marker%'")
    await erasure.complete_all(pool, now=utc_now)


async def disappears(
    http: httpx.AsyncClient, anna: Instructor, token: str, screen: Screen, other: str
) -> None:
    """Anna deletes her account, too: an open board and another web process notice."""
    path = f"{other}/api/public/instructors/{anna.id}/availability"
    assert (await http.get(path)).status_code == 200
    assert any(day["free"] for day in screen.boards[str(anna.id)]["days"].values())
    http.headers["Authorization"] = f"Bearer {token}"
    await erase(http, factories.PASSWORD)
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while (await http.get(path)).status_code != 404 or any(
        day["free"] for day in screen.boards[str(anna.id)]["days"].values()
    ):
        assert asyncio.get_running_loop().time() < deadline, "Anna is still shown"
        await asyncio.sleep(0.05)


async def public_answers(url: str, anna: Instructor) -> str:
    """What visitors without a session get."""
    paths = (
        f"/api/public/instructors/{anna.id}/availability", f"/api/instructors/{anna.id}",
        f"/instructors/{anna.id}", "/metrics", "/health/ready", "/",
    )  # fmt: skip
    async with httpx.AsyncClient(base_url=url, timeout=PATIENCE) as visitor:
        return "".join([(await visitor.get(path)).text for path in paths])


async def in_database(pool: Pool) -> str:
    """All rows of all tables, as text."""
    tables = await pool.fetch(
        """select relname from pg_class
           where relnamespace = 'public'::regnamespace and relkind = 'r'"""
    )
    return "".join(
        [
            await pool.fetchval(f"select coalesce(jsonb_agg(t), '[]')::text from {table} t")
            for (table,) in tables
        ]
    )


async def erase(http: httpx.AsyncClient, password: str) -> None:
    answer = await http.post("/api/privacy/erasure", json={"password": password})
    assert answer.status_code == 204


async def confirm(http: httpx.AsyncClient, pool: Pool) -> None:
    text = await mail_of(pool, PERSONAL[0], "Confirm your e-mail address")
    match = re.search(r"token=([\w.-]+)", text)
    assert match is not None
    answer = await http.post("/api/auth/verification/confirm", json={"token": match[1]})
    assert answer.status_code == 204


async def mail_of(pool: Pool, recipient: str, subject: str) -> str:
    """The text of a stored mail, once the worker has stored it."""
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while asyncio.get_running_loop().time() < deadline:
        text: str | None = await pool.fetchval(
            """select body_text from dev_mail
               where recipient = $1 and subject like '%' || $2 || '%'""",
            recipient,
            subject,
        )
        if text is not None:
            return text
        await asyncio.sleep(0.05)
    raise AssertionError(f"no mail to {recipient} about {subject!r}")

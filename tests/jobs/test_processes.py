"""The product's own processes: a booking over HTTP becomes two mails at /dev/mail at once, and the worker ends when asked."""

import os
import time

import httpx
import psutil

from app import wire
from app.db import Pool
from app.settings import Settings
from jobs import worker
from tests import factories
from tests.cluster import until
from tests.notifications.ledger import book, couple
from tests.processes import Starter


async def test_a_booking_over_http_is_two_mails_a_moment_later(pool: Pool, settings: Settings, start: Starter) -> None:
    anna, ben = await couple(pool)
    token = await factories.token_of(pool, ben.id, settings)
    start("worker", sweep_seconds=60, log_level="info").wait_for("worker started", 20)
    web = start("serve")
    time.sleep(1)  # the worker's first look is over, so only a wake-up can tell it
    with httpx.Client(base_url=web.url, headers={"Authorization": f"Bearer {token}"}, timeout=10) as student:
        lesson = {"service_id": str(anna.service_id), "start": wire.instant(anna.at("10:00", day=3)), "duration_minutes": 60}
        assert student.post("/api/bookings", json=lesson).status_code == 201
        until(lambda: student.get("/dev/mail").text.count('href="/dev/mail/') == 2, "both mails", 5)
        page = student.get("/dev/mail").text
    for said in ("Confirmed: Piano with Anna", "New lesson: Piano with Ben", anna.email, ben.email):
        assert said in page


async def test_the_worker_ends_soon_when_asked(pool: Pool, start: Starter) -> None:
    running = start("worker", log_level="info")
    running.wait_for("worker started", 20)
    await book(pool, *await couple(pool))
    began = time.monotonic()
    assert running.stop() == 0
    assert time.monotonic() - began < 5
    assert "worker stopped" in running.log
    assert "Traceback" not in running.log


def test_web_processes_are_scheduled_before_the_worker(start: Starter) -> None:
    running = start("worker", log_level="info")
    running.wait_for("worker started", 20)
    assert psutil.Process(running.pid).nice() == min(os.nice(0) + worker.NICENESS, 19)

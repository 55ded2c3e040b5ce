"""The product's own processes: a booking over HTTP soon becomes two mails at /dev/mail, and the
worker stops on SIGTERM."""

import os
import time

import httpx
import psutil

from app import wire
from app.db import Pool
from app.settings import Settings
from jobs import worker
from tests import factories
from tests.cluster import PATIENCE, until
from tests.notifications.ledger import book, couple
from tests.processes import Starter


async def test_a_booking_over_http_soon_sends_two_mails(
    pool: Pool, settings: Settings, start: Starter
) -> None:
    anna, ben = await couple(pool)
    token = await factories.token_of(pool, ben.id, settings)
    start("worker", sweep_seconds=60, log_level="info").wait_for("worker_started")
    web = start("serve")
    time.sleep(1)  # the worker's first sweep is over, so only a wake-up can start a delivery
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=web.url, headers=headers, timeout=PATIENCE) as student:
        start_time = wire.instant(anna.at("10:00", day=3))
        lesson = {
            "service_id": str(anna.service_id),
            "start": start_time,
            "duration_minutes": 60,
            "location": "12 Main St",
        }
        assert student.post("/api/bookings", json=lesson).status_code == 201
        until(
            lambda: student.get("/dev/mail").text.count('href="/dev/mail/') == 2, "both mails", 50
        )
        page = student.get("/dev/mail").text
    for text in ("Confirmed: Piano with Anna", "New lesson: Piano with Ben", anna.email, ben.email):
        assert text in page


async def test_the_worker_stops_soon_after_sigterm(pool: Pool, start: Starter) -> None:
    running = start("worker", log_level="info")
    running.wait_for("worker_started")
    await book(pool, *await couple(pool))
    assert running.stop() == 0  # it would have been killed
    assert "worker_stopped" in running.log
    assert "Traceback" not in running.log


def test_web_processes_are_scheduled_before_the_worker(start: Starter) -> None:
    running = start("worker", log_level="info")
    running.wait_for("worker_started")
    assert psutil.Process(running.pid).nice() == min(os.nice(0) + worker.NICENESS, 19)

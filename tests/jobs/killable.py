"""A worker for tests that kill it: the real one, but another worker takes over a dead worker's job
after two seconds instead of twenty-one."""

import asyncio

from app import logs
from app.settings import settings
from jobs import worker


def run() -> None:
    """Runs with the settings in the environment."""
    worker.TAKEOVER_SECONDS = 2
    logs.configure(settings(), "worker")
    asyncio.run(worker.main(settings()))

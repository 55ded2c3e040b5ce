"""A worker to be killed: the real one, but a dead worker's job is free again after two seconds instead of twenty-one. Run as
`python -m tests.jobs.killable`, with the settings in the environment."""

import asyncio

from app import logs
from app.settings import settings
from jobs import worker

if __name__ == "__main__":
    worker.JOB_SECONDS = 1
    logs.configure(settings(), "worker")
    asyncio.run(worker.main(settings()))

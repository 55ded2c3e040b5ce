"""The worker's process: arq does the jobs, the dispatcher makes them of due rows, and both go on whatever happens to Redis."""

import asyncio
import contextlib
import os

import structlog
from arq.connections import ArqRedis
from arq.worker import Worker, func

from app import db, web
from app.notifications import mail, smtp
from app.notifications.delivery import Resources
from app.redis import AWAY
from app.settings import Settings, SettingsError
from jobs import next_starts, queue
from jobs.dispatcher import dispatch, listen
from jobs.nightly import repeat
from jobs.notifications import deliver

log = structlog.get_logger("worker")

AT_ONCE = 10
POLL_SECONDS = 0.1
# More than the deliveries of a job take (BEGIN_SECONDS and smtp.SECONDS). A killed worker's job is done by another after this and a second.
JOB_SECONDS = 20
# What is under way when we are asked to stop may take so long (`up` waits 6 s for us).
DRAIN_SECONDS = 4
_RESTART_SECONDS = 1
# Nobody waits for a mail as they wait for a page: web processes on the same machine go first.
NICENESS = 10


async def main(settings: Settings) -> None:
    """Works until it is cancelled, and then finishes what is under way. Raises SettingsError when it cannot work, and what asyncpg
    raises when Postgres is away at the start."""
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    stop = asyncio.Event()
    running = asyncio.ensure_future(run(settings, stop))
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        stop.set()
        await running
        raise


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Works until `stop` is set; ends within DRAIN_SECONDS of it and a little."""
    redis_url = settings.redis_url.get_secret_value()
    if not redis_url:
        raise SettingsError("REDIS_URL: the worker needs a Redis. (`python -m app up` starts one.)")
    mail.sender(settings.mail_from)
    with smtp.opened(settings) as mailer:
        # Deliveries, the dispatcher's look, and the next starts.
        pool = await db.connect(settings.database_url.get_secret_value(), size=AT_ONCE + 3, name="worker")
        redis = queue.connect(redis_url)
        try:
            await _loops(redis, Resources(pool, settings, mailer, web.utc_now, asyncio.Semaphore(AT_ONCE), stop))
        finally:
            await redis.aclose()
            await db.close(pool)


async def _loops(redis: ArqRedis, resources: Resources) -> None:
    woken, stop = asyncio.Event(), resources.stop
    async with asyncio.TaskGroup() as group:
        nightly = group.create_task(repeat(resources))
        listening = group.create_task(listen(resources.settings.redis_url.get_secret_value(), woken))
        loops = [
            group.create_task(dispatch(redis, resources, woken)),
            group.create_task(_work(redis, resources)),
            group.create_task(next_starts.refresh(resources)),
        ]
        log.info("worker started")
        await stop.wait()
        listening.cancel()
        nightly.cancel()
        woken.set()  # so that the dispatcher looks up
        _, late = await asyncio.wait(loops, timeout=DRAIN_SECONDS)
        for loop in late:
            loop.cancel()
    log.info("worker stopped")


async def _work(redis: ArqRedis, resources: Resources) -> None:
    """arq's worker, started again whenever it ends for want of Redis. Until `resources.stop`."""
    while not resources.stop.is_set():
        try:
            await _work_once(redis, resources)
        except AWAY as error:
            log.warning("jobs wait for Redis", error=type(error).__name__)
            try:
                async with asyncio.timeout(_RESTART_SECONDS):
                    await resources.stop.wait()
            except TimeoutError:
                continue


async def _work_once(redis: ArqRedis, resources: Resources) -> None:
    worker = Worker(
        [func(deliver, name="deliver")],  # type: ignore[arg-type]  # arq's protocol asks that a job take any arguments
        queue_name=queue.NAME,
        redis_pool=redis,
        ctx={"resources": resources},
        handle_signals=False,
        max_jobs=AT_ONCE,
        job_timeout=JOB_SECONDS,
        poll_delay=POLL_SECONDS,
        keep_result=0,  # else the same row could not be put in again
        job_serializer=queue.pack,
        job_deserializer=queue.unpack,
        health_check_key=f"{queue.NAME}:health",
    )
    # arq adds 10 s. Too short would do no harm: the row's lock keeps a second worker away.
    worker.in_progress_timeout_s = JOB_SECONDS + 1
    working = asyncio.create_task(worker.main())
    stopping = asyncio.create_task(resources.stop.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        working.cancel()
        # Mails on their way arrive; whoever cancels us cancels them too.
        await asyncio.gather(working, stopping, *worker.tasks.values(), return_exceptions=True)
    if not working.cancelled():
        working.result()

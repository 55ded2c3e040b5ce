"""The worker process: arq runs the jobs and the dispatcher enqueues due notifications. Both survive
any failure of Redis."""

import asyncio
import contextlib
import os
from datetime import UTC, datetime
from functools import partial

import structlog
from arq.connections import ArqRedis
from arq.worker import Worker, func

from app import db
from app.accounts import second_factor
from app.monitoring import QUEUE_HEALTH
from app.notifications import mail, smtp
from app.notifications.delivery import WorkerContext
from app.redis import UNREACHABLE_ERRORS
from app.settings import Settings, SettingsError
from app.statements import slow_log
from jobs import next_starts, nightly, queue, reminders, sweep
from jobs.dispatcher import dispatch, listen
from jobs.notifications import deliver

log = structlog.get_logger("worker")

MAX_JOBS = 10
POLL_SECONDS = 0.1
# How often the worker reports the numbers of its jobs to Redis.
HEALTH_SECONDS = 2
# More than the deliveries of a job take (BEGIN_SECONDS plus smtp.SECONDS).
JOB_SECONDS = 20
# If a worker is killed, another one runs its job this much later. arq's default adds 10 s to a
# job's limit. Even too short a time is safe, because a delivery locks its row.
TAKEOVER_SECONDS = JOB_SECONDS + 1
# A job ends itself after JOB_SECONDS. Returning an unresponsive connection takes longer;
# arq would log a job that exceeds its own limit as an error.
RELEASE_SECONDS = 10
# Time for running jobs to finish after SIGTERM (`up` waits 6 s for the worker).
DRAIN_SECONDS = 4
_RESTART_SECONDS = 1
# Mails are less urgent than pages: web processes on the same machine get the CPU first.
NICENESS = 10


async def main(settings: Settings) -> None:
    """Runs until cancelled, then finishes running jobs. Raises SettingsError for unusable settings,
    and asyncpg's errors if Postgres is unavailable at the start."""
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    stop = asyncio.Event()
    task = asyncio.ensure_future(run(settings, stop))
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        stop.set()
        await task
        raise


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Runs until `stop` is set, and ends little more than DRAIN_SECONDS later."""
    redis_url = settings.redis_url.get_secret_value()
    if not redis_url:
        raise SettingsError("REDIS_URL: the worker needs a Redis. (`python -m app up` starts one.)")
    mail.sender(settings.mail_from)
    slow_log.configure(settings.slow_query_ms)
    with smtp.open_mailer(settings) as mailer:
        # One connection per delivery, plus the dispatcher, the next starts, the nightly jobs, the
        # reminders and the sweep.
        database_url = settings.database_url.get_secret_value()
        pool = await db.connect(database_url, size=MAX_JOBS + 5, name="worker")
        redis = queue.connect(redis_url)
        slots = asyncio.Semaphore(MAX_JOBS)
        try:
            if settings.secret_key.get_secret_value():
                await second_factor.encrypt_stored(pool, settings)
            now = partial(datetime.now, UTC)
            await _run_loops(redis, WorkerContext(pool, settings, mailer, now, slots, stop))
        finally:
            await redis.aclose()
            await db.close(pool)


async def _run_loops(redis: ArqRedis, context: WorkerContext) -> None:
    wakeup, stop = asyncio.Event(), context.stop
    redis_url = context.settings.redis_url.get_secret_value()
    async with asyncio.TaskGroup() as group:
        endless = [
            group.create_task(nightly.repeat(context)),
            group.create_task(reminders.repeat(context, wakeup)),
            group.create_task(listen(redis_url, wakeup)),
        ]
        loops = [
            group.create_task(dispatch(redis, context, wakeup)),
            group.create_task(_run_arq(redis, context)),
            group.create_task(next_starts.refresh(context)),
            group.create_task(sweep.repeat(redis, context)),
        ]
        log.info("worker_started")
        await stop.wait()
        for task in endless:
            task.cancel()
        wakeup.set()  # ends the dispatcher's wait
        _, unfinished = await asyncio.wait(loops, timeout=DRAIN_SECONDS)
        for loop in unfinished:
            loop.cancel()
    log.info("worker_stopped")


async def _run_arq(redis: ArqRedis, context: WorkerContext) -> None:
    """Runs arq's worker until `context.stop` is set, and restarts it when Redis fails."""
    while not context.stop.is_set():
        try:
            await _run_arq_once(redis, context)
        except UNREACHABLE_ERRORS as error:
            log.warning("jobs_paused", reason="redis_unavailable", error=type(error).__name__)
            try:
                async with asyncio.timeout(_RESTART_SECONDS):
                    await context.stop.wait()
            except TimeoutError:
                continue


async def _run_arq_once(redis: ArqRedis, context: WorkerContext) -> None:
    worker = Worker(
        [func(deliver, name="deliver")],  # type: ignore[arg-type]  # arq wants *args, **kwargs
        cron_jobs=nightly.cron_jobs(),
        queue_name=queue.NAME,
        redis_pool=redis,
        ctx={"worker": context, "seconds": JOB_SECONDS},
        handle_signals=False,
        max_jobs=MAX_JOBS,
        job_timeout=JOB_SECONDS + RELEASE_SECONDS,
        poll_delay=POLL_SECONDS,
        keep_result=0,  # a stored result would keep the same job from being enqueued again
        job_serializer=queue.pack,
        job_deserializer=queue.unpack,
        health_check_key=QUEUE_HEALTH,
        health_check_interval=HEALTH_SECONDS,
    )
    worker.in_progress_timeout_s = TAKEOVER_SECONDS
    main_task = asyncio.create_task(worker.main())
    stop_task = asyncio.create_task(context.stop.wait())
    try:
        await asyncio.wait({main_task, stop_task}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stop_task.cancel()
        main_task.cancel()
        # The worker may start a last job while it is being cancelled, so its jobs are read after it
        # has ended.
        await asyncio.gather(main_task, stop_task, return_exceptions=True)
        # Let running deliveries finish; cancelling this coroutine cancels them.
        await asyncio.gather(*worker.tasks.values(), return_exceptions=True)
    if not main_task.cancelled():
        main_task.result()

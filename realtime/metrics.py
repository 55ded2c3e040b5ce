"""The live path's part of /metrics."""

from collections.abc import Callable

from prometheus_client import Counter, Gauge, Histogram

SOCKETS = Gauge("live_sockets", "Open live sockets of this process.")
WATCHES = Gauge("live_watches", "Boards watched on the open live sockets.")
CALENDARS = Gauge("live_calendars", "Calendars this process follows.")
CACHE = Gauge("live_cache_bytes", "Bytes of the cached histories and boards.")
CONNECTED = Gauge("live_connected", "1 while changes are received as they happen.")
RECONCILE_AGE = Gauge(
    "live_reconcile_age_seconds",
    "Time since this process last compared its calendars with Postgres.",
)
OLDEST_UNPUBLISHED = Gauge(
    "live_oldest_unpublished_seconds",
    "How long the oldest unpublished change has been waiting for a relay.",
)
CHANGES = Counter("live_changes", "Changes received, whether or not the calendar is followed.")
LAG = Histogram(
    "live_lag_seconds",
    "Time from a change's transaction to its arrival in this process.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60),
)
LOOP_DELAY = Histogram(
    "live_loop_delay_seconds",
    "Delay of the event loop.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5),
)
GAPS = Counter(
    "live_gaps",
    "Times that changes of a followed calendar were missing, by how it was detected.",
    ["source"],
)
BOARDS = Counter("live_boards", "Boards read from Postgres.")
FRAMES = Counter("live_frames", "Change frames written to sockets.")
REFRESHES = Counter("live_refreshes", "Times that an account may have missed booking messages.")
ABORTED = Counter("live_aborted", "Sockets aborted, by reason.", ["reason"])
REFUSED = Counter("live_refused", "Upgrades refused, by status.", ["status"])
EPOCHS = Counter("live_epochs", "New epochs seen by this process.")


def observe(
    counts: Callable[[], tuple[int, int, int, int]], reconcile_age: Callable[[], float]
) -> None:
    """Reads these gauges at each scrape. `counts`: sockets, calendars, watches, bytes of the
    cache."""
    SOCKETS.set_function(lambda: counts()[0])
    CALENDARS.set_function(lambda: counts()[1])
    WATCHES.set_function(lambda: counts()[2])
    CACHE.set_function(lambda: counts()[3])
    RECONCILE_AGE.set_function(reconcile_age)

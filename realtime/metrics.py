"""What the live path counts, for /metrics."""

from prometheus_client import Counter, Gauge, Histogram

SOCKETS = Gauge("live_sockets", "Open live sockets of this process.")
WATCHES = Gauge("live_watches", "Boards watched on them.")
CALENDARS = Gauge("live_calendars", "Calendars this process follows.")
DEAF = Gauge("live_deaf", "1 while this process does not hear Redis and asks Postgres instead.")
OLDEST_UNPUBLISHED = Gauge("live_oldest_unpublished_seconds", "How long the oldest change has been waiting for the relay.")
CHANGES = Counter("live_changes", "Changes heard, whether or not anybody here follows the calendar.")
LAG = Histogram(
    "live_lag_seconds",
    "From a change's transaction to its arrival here.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60),
)
GAPS = Counter("live_gaps", "Times a followed calendar was found behind, by how it was found.", ["found"])
BOARDS = Counter("live_boards", "Boards read from the database.")
FRAMES = Counter("live_frames", "Frames of changes written.")
REFRESHES = Counter("live_refreshes", "Times somebody was told to read the lists again.")
ABORTED = Counter("live_aborted", "Sockets aborted, by reason.", ["reason"])
REFUSED = Counter("live_refused", "Upgrades refused, by status.", ["status"])
EPOCHS = Counter("live_epochs", "Times the database's history was seen to be another.")

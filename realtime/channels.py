"""The names in Redis. All of it are hints or copies: what they carry is in Postgres too."""

# Changes travel on static partitions, so that every process subscribes once, at start. Which one is
# computed where the message is made (sql/queries/realtime.sql): crc32 of the instructor's id,
# modulo PARTITIONS. Partition p is relayed by shard p % shards through Redis p % servers. An empty
# message is the relay's heartbeat.
PARTITIONS = 64
BOARDS = tuple(f"board:{number}" for number in range(PARTITIONS))

# Sessions of the account named ended: a hint to look, on the first of the live path's servers.
SESSIONS = "sessions"

# "Something was committed": a bare hint to relay and worker.
WAKEUP = "wakeup"


def relay_key(shard: int) -> str:
    """Kept by the active relay of a shard while it relays; expires soon after."""
    return f"relay:{shard}"

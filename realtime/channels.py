"""The names of the Redis channels. All of them are hints or copies: what they carry is in Postgres too."""

# Changes travel on static partitions, so that every process subscribes once, at start. Which one is computed where the message is
# made (sql/queries/realtime.sql): crc32 of the instructor's id, modulo PARTITIONS.
PARTITIONS = 64
BOARDS = tuple(f"board:{number}" for number in range(PARTITIONS))

# "Something was committed": a bare hint to relay and worker.
POKE = "poke"


def probe(process: str) -> str:
    """Where a process sends itself messages, to know that it can hear."""
    return f"probe:{process}"

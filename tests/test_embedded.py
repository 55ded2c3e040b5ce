"""The ground under the tests is the ground under `up`: these look at it."""

from app.db import Pool
from tests.conftest import RedisServer


async def test_every_test_has_a_migrated_database_of_its_own(pool: Pool) -> None:
    assert await pool.fetchval("select count(*) from account") == 0
    assert str(await pool.fetchval("select version()")).startswith("PostgreSQL 18")
    await pool.execute("insert into account (email, full_name, password_hash) values ('a@example.com', 'A', '')")


async def test_what_another_test_wrote_is_not_there(pool: Pool) -> None:
    assert await pool.fetchval("select count(*) from account") == 0


async def test_redis_keeps_nothing_and_comes_back(redis_server: RedisServer) -> None:
    assert redis_server.embedded.ask(b"SET a 1") == b"+OK"
    redis_server.kill()
    assert not redis_server.embedded.answers()
    redis_server.start()
    assert redis_server.embedded.ask(b"EXISTS a") == b":0"

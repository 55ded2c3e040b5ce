"""The shipped catalog (sql/data) keeps its own rules."""

from app import migrate
from app.db import Pool


async def test_every_name_is_a_term(pool: Pool) -> None:
    for table in ("category", "area"):
        assert (
            await pool.fetch(
                f"select slug from {table} k where not exists ("
                f"  select from {table}_term t where t.term = lower(k.name) and t.{table} = k.slug)"
            )
            == []
        )
    assert (
        await pool.fetch(
            "select slug from catalog_service k where not exists ("
            "  select from catalog_term t where t.term = lower(k.name) and t.catalog_service = k.slug)"
        )
        == []
    )


async def test_every_borough_is_an_area(pool: Pool) -> None:
    rows = await pool.fetch("select slug, name from area where name = borough order by slug")
    assert [(row["slug"], row["name"]) for row in rows] == [
        ("bronx", "Bronx"),
        ("brooklyn", "Brooklyn"),
        ("manhattan", "Manhattan"),
        ("queens", "Queens"),
        ("staten-island", "Staten Island"),
    ]
    assert (
        await pool.fetch("select borough from area where borough not in (select name from area)")
        == []
    )


async def test_a_migration_run_restores_the_terms(pool: Pool, database_url: str) -> None:
    before = await pool.fetch("select term, catalog_service from catalog_term order by 1, 2")
    await pool.execute("delete from catalog_term where term = 'piano'")
    await pool.execute("insert into catalog_term values ('klavier', 'piano')")
    await migrate.migrate(database_url)
    after = await pool.fetch("select term, catalog_service from catalog_term order by 1, 2")
    assert after == before

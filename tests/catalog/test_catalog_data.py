"""The shipped catalog (sql/data) keeps its own rules."""

import re
from collections import Counter, defaultdict

import pytest

from app import migrate
from app.db import Pool

SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
# Lower-case words, with the signs that names contain: c++, c#, .net, d&d, kid's, pre-k.
TERM = re.compile(r"[a-z0-9.#+&'-]+( [a-z0-9.#+&'-]+)*")
# Search ignores these words, so no term contains them.
FILLERS = {
    "lesson",
    "lessons",
    "class",
    "classes",
    "tutor",
    "tutoring",
    "teacher",
    "near",
    "for me",
}

# Terms that name several services or areas on purpose.
SHARED_BY_SERVICES = {
    "act", "adobe", "asian cooking", "bass", "biking", "brass", "card games", "chinese", "coding",
    "computer programming", "dance", "dancing", "design", "english test", "entrance exam",
    "fiber arts", "games", "job search", "keys", "latin dance", "law school", "martial art",
    "martial arts", "percussion", "programming", "racquet sports", "scandinavian", "science",
    "skating", "social dance", "social studies", "software development", "standardized tests",
    "strength and conditioning", "test prep", "woodwind", "writing",
}  # fmt: skip
SHARED_BY_AREAS = {
    "bay terrace", "central park", "chelsea", "downtown", "downtown manhattan", "five boroughs",
    "little italy", "lower manhattan", "murray hill", "new york", "new york city", "nyc",
    "outer boroughs", "prospect park", "rockaways", "south bronx", "sunnyside", "the rockaways",
    "the south bronx", "upper manhattan", "uptown",
}  # fmt: skip

# Released slugs. Services and instructors refer to them.
RELEASED = """
    piano guitar bass-guitar violin cello voice drums saxophone flute trumpet ukulele music-theory
    spanish english french mandarin italian german japanese korean portuguese hebrew
    american-sign-language math algebra calculus physics chemistry biology essay-writing history
    sat-prep gre-prep shsat-prep yoga pilates personal-training running boxing swimming tennis
    meditation drawing watercolor oil-painting photography pottery acting ballet salsa-dance
    calligraphy python web-development data-science excel graphic-design video-editing
    music-production homework-help reading chess coding-for-kids kids-piano home-cooking baking
    knife-skills
"""


async def service_terms(pool: Pool) -> dict[str, set[str]]:
    """The slugs of the services by term."""
    terms: dict[str, set[str]] = defaultdict(set)
    for row in await pool.fetch("select term, catalog_service from catalog_term"):
        terms[row["term"]].add(row["catalog_service"])
    return terms


async def test_the_catalog_has_at_least_280_services(pool: Pool) -> None:
    rows = await pool.fetch("select slug, name, category from catalog_service")
    assert len(rows) >= 280
    assert set(RELEASED.split()) <= {row["slug"] for row in rows}
    assert max(Counter(row["name"].lower() for row in rows).values()) == 1
    assert all(SLUG.fullmatch(row["slug"]) for row in rows)
    per_category = Counter(row["category"] for row in rows)
    assert min(per_category.values()) >= 10
    assert len(per_category) == await pool.fetchval("select count(*) from category")


async def test_every_service_has_other_names_too(pool: Pool) -> None:
    terms = await service_terms(pool)
    per_service = Counter(slug for slugs in terms.values() for slug in slugs)
    assert [slug for slug, count in per_service.items() if count < 2] == []
    assert len(per_service) == await pool.fetchval("select count(*) from catalog_service")


@pytest.mark.parametrize(
    ("term", "slugs"),
    [
        ("piano", {"piano"}),
        ("kids piano", {"kids-piano"}),
        ("piano for kids", {"kids-piano"}),
        ("drum", {"drums"}),
        ("vocals", {"voice"}),
        ("singing", {"voice"}),
        ("voice coach", {"voice"}),
        ("esl", {"english"}),
        ("sat", {"sat-prep"}),
        ("sat prep", {"sat-prep"}),
        ("maths", {"math"}),
        ("b-ball", {"basketball"}),
        ("python programming", {"python"}),
        ("act", {"act-prep", "acting"}),
    ],
)
async def test_everyday_words_name_their_services(pool: Pool, term: str, slugs: set[str]) -> None:
    assert (await service_terms(pool))[term] == slugs


async def test_a_term_names_several_services_only_on_purpose(pool: Pool) -> None:
    terms = await service_terms(pool)
    assert {term for term, slugs in terms.items() if len(slugs) > 1} == SHARED_BY_SERVICES
    names = await pool.fetch("select slug, lower(name) as term from catalog_service")
    assert all(terms[row["term"]] == {row["slug"]} for row in names)


async def test_a_term_names_several_areas_only_on_purpose(pool: Pool) -> None:
    rows = await pool.fetch("select term from area_term group by term having count(*) > 1")
    assert {row["term"] for row in rows} == SHARED_BY_AREAS


async def test_no_term_names_two_kinds_of_things(pool: Pool) -> None:
    rows = await pool.fetch(
        "select term from (select distinct term from catalog_term union all"
        " select term from category_term union all select distinct term from area_term) as terms"
        " group by term having count(*) > 1"
    )
    assert [row["term"] for row in rows] == []


async def test_terms_are_lower_case_words_without_fillers(pool: Pool) -> None:
    rows = await pool.fetch(
        "select term from catalog_term union select term from category_term"
        " union select term from area_term"
    )
    terms = [row["term"] for row in rows]
    assert [term for term in terms if not TERM.fullmatch(term)] == []
    assert [term for term in terms if FILLERS & set(term.split())] == []
    assert max(len(term) for term in terms) <= 40


async def test_every_category_has_its_name_as_a_term(pool: Pool) -> None:
    rows = await pool.fetch(
        "select slug from category k where not exists ("
        "  select from category_term t where t.term = lower(k.name) and t.category = k.slug)"
    )
    assert rows == []


async def test_areas_are_five_boroughs_and_their_neighborhoods(pool: Pool) -> None:
    areas = await pool.fetch("select slug, name, borough from area")
    boroughs = {row["slug"]: row["name"] for row in areas if row["name"] == row["borough"]}
    assert boroughs == {
        "bronx": "Bronx",
        "brooklyn": "Brooklyn",
        "manhattan": "Manhattan",
        "queens": "Queens",
        "staten-island": "Staten Island",
    }
    assert {row["borough"] for row in areas} == set(boroughs.values())
    assert min(Counter(row["borough"] for row in areas).values()) > 45
    assert all(SLUG.fullmatch(row["slug"]) for row in areas)


@pytest.mark.parametrize(
    ("term", "slug"),
    [
        ("les", "lower-east-side"),
        ("uws", "upper-west-side"),
        ("bed-stuy", "bedford-stuyvesant"),
        ("hell's kitchen", "hells-kitchen"),
        ("hells kitchen", "hells-kitchen"),
        ("clinton", "hells-kitchen"),
        ("fidi", "financial-district"),
        ("the city", "manhattan"),
        ("the bronx", "bronx"),
        ("murray hill queens", "murray-hill-queens"),
        ("lic", "long-island-city"),
    ],
)
async def test_everyday_names_name_their_areas(pool: Pool, term: str, slug: str) -> None:
    rows = await pool.fetch("select area from area_term where term = $1", term)
    assert [row["area"] for row in rows] == [slug]


async def test_a_migration_run_restores_the_terms(pool: Pool, database_url: str) -> None:
    before = await service_terms(pool)
    await pool.execute("delete from catalog_term where term = 'piano'")
    await pool.execute("insert into catalog_term values ('fortepiano', 'piano')")
    await migrate.migrate(database_url)
    assert await service_terms(pool) == before

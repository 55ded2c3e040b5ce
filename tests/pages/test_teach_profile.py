"""/teach/profile and the checklist on /teach, by their forms and without scripts."""

import re
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from app.availability import week
from app.catalog import instructor, service
from app.db import Pool
from tests import factories
from tests.factories import Account, Instructor
from tests.forms import Form, Page
from tests.pages.visitor import sign_in, visit

PROFILE = "/teach/profile"
SAME_SITE = {"sec-fetch-site": "same-origin"}


@pytest.fixture
async def anna(pool: Pool, client: httpx.AsyncClient) -> Instructor:
    anna = await factories.instructor(pool, "Anna")
    await sign_in(client, anna)
    return anna


@pytest.fixture
async def nora(pool: Pool, client: httpx.AsyncClient) -> Account:
    """A new instructor, signed in."""
    body = {
        "email": "nora@example.com",
        "password": factories.PASSWORD,
        "full_name": "Nora Field",
        "role": "instructor",
    }
    registered = (await client.post("/api/auth/register", json=body)).json()
    client.headers["Authorization"] = f"Bearer {registered['token']}"
    return Account(UUID(registered["account"]["id"]), body["email"], body["full_name"])


async def send(client: httpx.AsyncClient, form: Form, **fields: Any) -> httpx.Response:
    """Submits a form; a list is a field that is sent several times."""
    return await client.post(form.action, data=form.fields | fields, headers=SAME_SITE)


async def test_the_profile_is_saved_and_can_be_emptied(
    client: httpx.AsyncClient, pool: Pool, anna: Instructor
) -> None:
    form = (await visit(client, PROFILE)).form("/api/instructors/me")
    fields = {
        "headline": "Piano with patience",
        "bio": "Line one.\nLine two.",
        "years_experience": "7",
        "areas": ["", "harlem", "soho"],
        "teaching_address": "40 Main Street",
        "travel_buffer_minutes": "30",
        "min_advance_minutes": "1440",
        "free_cancel_hours": "24",
    }
    response = await send(client, form, **fields)
    assert (response.status_code, response.headers["location"]) == (303, f"{PROFILE}?saved=profile")
    page = await visit(client, response.headers["location"])
    assert "Your profile is saved." in page.text
    assert page.text.count("Selected: Harlem, SoHo") == 1
    form = page.form("/api/instructors/me")
    assert (form.fields["headline"], form.fields["bio"]) == (fields["headline"], fields["bio"])
    stored = await instructor.own(pool, anna.id)
    assert (stored.areas, stored.years_experience) == (["harlem", "soho"], 7)
    assert (
        stored.travel_buffer_minutes,
        stored.min_advance_minutes,
        stored.free_cancel_hours,
    ) == (30, 1440, 24)

    await send(client, form, headline="", bio="", areas="", teaching_address="")
    stored = await instructor.own(pool, anna.id)
    assert (stored.headline, stored.bio, stored.areas, stored.teaching_address) == ("", "", [], "")
    assert stored.years_experience == 7
    assert "To offer your place, first save its address" in (await visit(client, PROFILE)).text


async def test_an_error_is_beside_its_field_and_everything_typed_stays(
    client: httpx.AsyncClient, pool: Pool, anna: Instructor
) -> None:
    form = (await visit(client, PROFILE)).form("/api/instructors/me")
    typed = {
        "headline": "A new headline",
        "bio": "",
        "years_experience": "99",
        "areas": ["", "soho"],
        "travel_buffer_minutes": "45",
    }
    response = await send(client, form, **typed)
    assert response.status_code == 422
    field = response.text.partition('id="profile-years-experience"')[2].partition("</div>")[0]
    assert "Enter whole years, from 0 to 80." in field
    assert 'aria-invalid="true"' in field
    again = Page(response).form("/api/instructors/me")
    assert (again.fields["headline"], again.fields["bio"]) == ("A new headline", "")
    assert again.fields["years_experience"] == "99"
    assert "Selected: SoHo" in Page(response).text
    assert re.search(r'value="45"\s+selected', response.text)
    assert (await instructor.own(pool, anna.id)).headline == "Anna teaches piano"

    await service.change(pool, anna.id, anna.service_id, {"location_types": ["instructor"]})
    response = await send(client, form, teaching_address="")
    field = response.text.partition('id="profile-teaching-address"')[2].partition("</div>")[0]
    assert "A service is offered only at your place." in field


@pytest.mark.parametrize("number", ["²", "9" * 5000])
async def test_an_invalid_number_is_refused(
    client: httpx.AsyncClient, anna: Instructor, number: str
) -> None:
    form = (await visit(client, PROFILE)).form("/api/instructors/me")
    response = await send(client, form, travel_buffer_minutes=number)
    assert response.status_code == 422
    assert "Travel time is 0 to 240 minutes." in response.text


async def test_services_are_added_changed_withdrawn_and_offered_again(
    client: httpx.AsyncClient, pool: Pool, anna: Instructor
) -> None:
    services = "/api/instructors/me/services"
    new = next(f for f in (await visit(client, PROFILE)).forms if f.action == services)
    response = await send(
        client, new, catalog_service="violin", hourly_rate="$72.50",
        durations_minutes=["", "30", "60"], location_types=["", "public"],
    )  # fmt: skip
    assert response.headers["location"] == f"{PROFILE}?saved=service#services"
    page = await visit(client, PROFILE)
    assert "$72.50 an hour · 30, 60 min" in page.text
    violin = (await instructor.own(pool, anna.id)).services[1]
    edit = page.form(str(violin.id))
    assert edit.fields["hourly_rate"] == "72.50"
    await send(client, edit, hourly_rate="1,000", levels=["", "beginner"], durations_minutes="90")
    (violin,) = (await instructor.own(pool, anna.id)).services[1:]
    assert (violin.hourly_rate_cents, violin.levels, violin.durations_minutes) == (
        100_000,
        ["beginner"],
        [90],
    )
    assert violin.location_types == ["public"]

    withdraw = next(
        form for form in page.forms
        if str(violin.id) in form.action and form.fields["_method"] == "DELETE"
    )  # fmt: skip
    response = await send(client, withdraw)
    page = await visit(client, response.headers["location"])
    assert "Violin is withdrawn. Booked lessons stay." in page.text
    assert "$1,000 an hour" in page.text  # in the list of withdrawn services
    undo = page.form(str(violin.id))
    assert (await send(client, undo)).status_code == 303
    assert (await instructor.own(pool, anna.id)).services[1:] == [violin]


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"hourly_rate": "sixty"}, "Enter a price from $1 to $1,000 an hour"),
        ({"hourly_rate": "1000.01"}, "Enter a price from $1 to $1,000 an hour"),
        ({"durations_minutes": ""}, "Choose at least one length."),
        ({"location_types": ""}, "Choose at least one place."),
        ({"description": "x" * 2001}, "A description has at most 2,000 characters."),
    ],
)
async def test_a_refused_service_keeps_what_was_typed_in_its_own_form(
    client: httpx.AsyncClient, anna: Instructor, fields: dict[str, Any], sentence: str
) -> None:
    edit = (await visit(client, PROFILE)).form(str(anna.service_id))
    typed = {
        "hourly_rate": "62.50",
        "durations_minutes": ["", "45"],
        "location_types": ["", "public"],
        "description": "All pieces",
    } | fields
    response = await send(client, edit, **typed)
    assert response.status_code == 422
    own = response.text.partition(f'id="service-{anna.service_id}"')[2].partition("</li>")[0]
    assert f'<p class="error" id="service-{anna.service_id}-' in own
    assert sentence in own
    again = Page(response).form(str(anna.service_id))
    assert again.fields["hourly_rate"] == typed["hourly_rate"]
    assert again.fields["description"] == typed["description"]
    assert sentence not in response.text.partition('id="new-service"')[2]


async def test_every_invalid_field_has_its_own_sentence(
    client: httpx.AsyncClient, anna: Instructor
) -> None:
    edit = (await visit(client, PROFILE)).form(str(anna.service_id))
    response = await send(client, edit, hourly_rate="", durations_minutes="", location_types="")
    assert "Correct the 3 marked fields" in response.text
    for field, sentence in (
        ("hourly-rate", "Enter a price from $1 to $1,000 an hour"),
        ("durations-minutes", "Choose at least one length."),
        ("location-types", "Choose at least one place."),
    ):
        error = response.text.partition(f'id="service-{anna.service_id}-{field}-error"')[2]
        assert error.startswith(f">{sentence}")
    assert response.text.count(" autofocus") == 1


async def test_forms_lead_only_to_pages_of_this_site(
    client: httpx.AsyncClient, anna: Instructor
) -> None:
    form = (await visit(client, PROFILE)).form("/api/instructors/me")
    response = await send(client, form, next="https://example.org/")
    assert response.headers["location"] == "/teach"


async def test_the_checklist_leads_through_three_steps_in_any_order(
    client: httpx.AsyncClient, pool: Pool, nora: Account
) -> None:
    page = await visit(client, "/teach")
    assert "0 of 3 done" in page.text
    hours = page.form("/api/availability/presets")
    assert hours.fields["preset"] == "weekdays"
    await hours.send(client)
    page = await visit(client, "/teach")
    assert "1 of 3 done" in page.text
    assert "New York time" not in page.text  # the step with hours is done

    offer = page.form("/api/instructors/me/services")
    response = await offer.send(client, catalog_service="", hourly_rate="70")
    assert response.status_code == 422
    assert "Choose a service." in response.text
    offer = Page(response).form("/api/instructors/me/services")
    assert offer.fields["hourly_rate"] == "70"
    await offer.send(client, catalog_service="cello")
    (cello,) = (await instructor.own(pool, nora.id)).services
    assert (cello.hourly_rate_cents, cello.durations_minutes) == (7000, [60])
    assert cello.location_types == ["student", "public"]

    page = await visit(client, "/teach")
    assert "2 of 3 done" in page.text
    response = await page.form("/api/instructors/me").send(client, headline="Cello, slowly")
    assert response.headers["location"] == "/teach?ready"
    page = await visit(client, response.headers["location"])
    assert "You can be booked" in page.text
    assert page.links["See your page as students see it"] == f"/instructors/{nora.id}"
    for path in ("/teach", "/teach?step=hours"):
        assert "You can be booked" not in (await visit(client, path)).text


@pytest.mark.parametrize(("repeat", "weeks"), [(True, 12), (False, 1)])
async def test_the_hours_of_the_checklist_repeat_for_twelve_weeks_or_fill_seven_days(
    client: httpx.AsyncClient, pool: Pool, nora: Account, repeat: bool, weeks: int
) -> None:
    form = (await visit(client, "/teach")).form("/api/availability/presets")
    if not repeat:  # without the checkbox, the hidden date before it applies
        html = (await client.get("/teach")).text
        form.fields["last"] = html.partition('name="last" value="')[2].partition('"')[0]
    await form.send(client)
    days = await pool.fetch("select lower(during) as start from availability order by 1")
    first, last = days[0]["start"].date(), days[-1]["start"].date()
    assert len(days) == 5 * weeks
    assert timedelta(weeks=weeks - 1) <= last - first < timedelta(weeks=weeks)
    version = await pool.fetchval("select version from calendar where instructor_id = $1", nora.id)
    assert version == 1
    assert await week.has_hours(pool, nora.id, now=days[0]["start"])

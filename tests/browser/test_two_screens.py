"""The promise, in real browsers: one books, the others see it."""

import re

from playwright.async_api import expect

from app import wire
from app.db import Pool
from tests import people
from tests.browser.conftest import Open


async def test_one_books_and_the_other_sees_the_time_go_and_the_instructor_sees_it_come(open_page: Open, pool: Pool) -> None:
    anna = await people.instructor(pool, "Anna Diaz")
    ben, cleo = await people.student(pool, "Ben Ode"), await people.student(pool, "Cleo Park")
    page = f"/instructors/{anna.id}"
    bens, cleos, annas = await open_page(page, ben), await open_page(page, cleo), await open_page("/teach", anna)
    guests = await open_page("/")
    for screen in (bens, cleos, annas, guests):
        await expect(screen.locator("#live")).to_have_attribute("data-state", "live")

    nine = bens.locator(f'.time[value="{wire.instant(anna.at("09:00"))}"]')
    await nine.click()
    await expect(bens.locator("#when")).to_contain_text("9:00 am")
    await bens.get_by_label("Address or meeting point").fill("12 Main St")
    await bens.get_by_label("A note to Anna").fill("I have a keyboard.")
    await bens.get_by_role("button", name="Book this time").click()

    gone = cleos.locator(f'.time[value="{wire.instant(anna.at("09:00"))}"]')
    await expect(gone).to_have_attribute("data-state", "gone")
    await expect(gone).to_have_attribute("aria-disabled", "true")
    await expect(cleos.locator("#announcements")).to_contain_text("were just taken")
    await expect(gone).to_have_count(0)  # nobody is there: it leaves by itself

    row = annas.locator(".row.new")
    await expect(row).to_contain_text("Ben Ode")
    await expect(row).to_contain_text("12 Main St")
    await expect(row).to_contain_text("I have a keyboard.")
    await expect(annas.locator("#announcements")).to_contain_text("Ben Ode just booked Piano")

    await expect(bens).to_have_url(re.compile(r"/lessons#booking-"))
    mine = bens.locator(".row")
    await expect(mine).to_contain_text("Piano with Anna Diaz")
    await mine.locator("summary").click()
    await expect(mine).to_contain_text("Cancelling is free")
    await mine.get_by_label("Reason, if you like").fill("I have a cold.")
    await mine.get_by_role("button", name="Cancel this lesson").click()
    await expect(bens.locator(".row")).to_contain_text("cancelled")

    back = cleos.locator(f'.time[value="{wire.instant(anna.at("09:00"))}"]')
    await expect(back).to_have_attribute("data-state", "free")
    await expect(back).to_have_class(re.compile("back"))
    await expect(annas.locator(".row")).to_have_count(0)
    await expect(annas.locator("#announcements")).to_contain_text("was cancelled")

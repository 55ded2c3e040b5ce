"""The live path: screens that follow calendars, and the changes sent to them."""

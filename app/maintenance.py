"""The operator commands on a database, except migrating it. app/destructive.py decides whether a
destructive command may run."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import structlog

from app import db, migrate
from app.accounts import address as email_address
from app.accounts import demo_accounts
from app.db import Pool, Tx
from app.statements import statement

log = structlog.get_logger("maintenance")
security_log = structlog.get_logger("security")


@dataclass(frozen=True)
class DemoAccount:
    email: str
    roles: str


select_no_accounts = statement("no_accounts", bool)
drop_everything = statement("drop_everything", bool)
recreate_schema = statement("recreate_schema", bool)
end_other_connections = statement("end_other_connections", int)
insert_admin = statement("make_admin", UUID)
delete_totp_of_email = statement("delete_totp_of_email", UUID)
update_site_mode = statement("raise_site_mode", bool)
owns_schema = statement("owns_schema", bool)
replace_epoch_seed = statement("replace_epoch_seed", bool)
select_demo_accounts = statement("demo_accounts", DemoAccount)


async def is_empty(address: str) -> bool:
    """Whether there are no accounts yet."""
    async with connected(address) as pool:
        return await select_no_accounts.one(pool)


async def existing_demo_accounts(address: str) -> list[DemoAccount]:
    """The demo accounts that exist."""
    async with connected(address) as pool:
        return await select_demo_accounts.all(pool, emails=list(demo_accounts.EMAILS))


async def reset(address: str, app_address: str) -> None:
    """Drops everything and creates an empty schema. The new epoch makes open screens reload."""
    await migrate.check_same_database(address, app_address)

    async def drop(tx: Tx) -> None:
        await drop_everything.run(tx)
        await recreate_schema.run(tx)

    async with connected(address, migrated=False) as pool:
        await db.transact(pool, drop)
    await migrate.migrate(address, app_address)
    async with connected(address) as pool:
        await end_other_connections.one(pool)


async def make_admin(address: str, email: str) -> bool:
    """Gives an account the admin role. False if there is no such account."""
    async with connected(address) as pool:
        account_id = await insert_admin.first(pool, email=email)
    if account_id is not None:
        security_log.warning("role_granted", account=str(account_id), role="admin")
    return account_id is not None


async def turn_off_second_factor(address: str, email: str) -> bool:
    """For somebody who lost the phone with the app. False if there is no such account, or it has no
    second factor."""
    async with connected(address) as pool:
        account_id = await delete_totp_of_email.first(pool, email=email)
    if account_id is not None:
        security_log.warning("second_factor_off", account=str(account_id))
    return account_id is not None


async def verify(address: str, emails: Sequence[str], *, now: datetime) -> int:
    """Confirms these e-mail addresses. Returns the number of accounts that have one."""
    async with connected(address) as pool:
        return await email_address.verify(pool, emails, now=now)


async def new_epoch(address: str) -> None:
    """Makes every open screen reload its boards, for example after a restore."""
    async with connected(address) as pool:
        await replace_epoch_seed.run(pool)


async def raise_site_mode(pool: Pool, mode: str) -> None:
    """Records that a stg or prod site uses this database (app/destructive.py). Warns if the role of
    the process could alter the schema."""
    await update_site_mode.run(pool, mode=mode)
    if await owns_schema.one(pool):
        log.warning("database_role_owns_schema", see="docs/operating.md#two-database-roles")


@asynccontextmanager
async def connected(address: str, *, migrated: bool = True) -> AsyncIterator[Pool]:
    """A pool of a few connections. Raises MigrationError if no database answers, or (with
    `migrated`) if its schema is not that of this version."""
    try:
        await migrate.check(address)
    except migrate.SchemaError:
        if migrated:
            raise
    pool = await db.connect(address, size=2, name="maintenance")
    try:
        yield pool
    finally:
        await db.close(pool)

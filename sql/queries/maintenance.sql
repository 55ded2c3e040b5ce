-- name: drop_everything
drop schema if exists public, code cascade;

-- name: recreate_schema
create schema public;

-- name: end_other_connections
-- Open connections have cached types that no longer exist, so their processes must reconnect.
select count(pg_terminate_backend(pid)) from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'
  and pg_has_role(usesysid, 'usage');

-- name: make_admin
with restored as (
  delete from removed_role r using account a
  where r.account_id = a.id and r.role = 'admin' and a.email = :email::citext
)
insert into account_role (account_id, role)
select id, 'admin' from account where email = :email::citext
on conflict (account_id, role) do update set role = excluded.role
returning account_id;

-- name: delete_totp_of_email
delete from totp where account_id = (select id from account where email = :email::citext)
returning account_id;

-- name: replace_epoch_seed
update site set epoch_seed = gen_random_uuid();

-- name: demo_accounts
select a.email::text, string_agg(r.role, ', ' order by r.role) as roles
from account a join account_role r on r.account_id = a.id
where a.email = any(:emails::citext[])
group by a.id
order by min(r.role) desc, a.email;

-- name: raise_site_mode
-- Only upward, from int to stg to prod.
update site set mode = :mode
where array_position('{int,stg,prod}'::text[], mode)
    < array_position('{int,stg,prod}'::text[], :mode);

-- name: set_site_mode
update site set mode = :mode;

-- name: read_consistently
-- The whole transaction sees one state of the database.
set transaction isolation level repeatable read, read only;

-- name: without_timeouts
select set_config(name, '0', true)
from unnest('{statement_timeout,idle_in_transaction_session_timeout}'::text[]) name;

-- name: export_snapshot
select pg_export_snapshot();

-- name: contents
-- A scratch database has no session defaults, and so no search path.
select name, items, hash from code.contents();

-- name: has_no_tables
select not exists (
  select from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where n.nspname in ('public', 'code') and c.relkind in ('r', 'p', 'v', 'm')
);

-- name: owns_schema
select has_schema_privilege(current_user, 'public', 'create');

-- name: mark_past_mails
-- The demo's lessons in the past were confirmed when they were booked.
update notification n set sent_at = n.due_at
from booking b
where b.id = n.booking_id and n.sent_at is null and lower(b.during) < :now;

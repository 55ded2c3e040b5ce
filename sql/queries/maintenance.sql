-- name: drop_everything
drop schema if exists public, code cascade;

-- name: recreate_schema
create schema public;

-- name: end_other_connections
-- Open connections have cached types that no longer exist, so their processes must reconnect.
select count(pg_terminate_backend(pid)) from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend';

-- name: make_admin
insert into account_role (account_id, role)
select id, 'admin' from account where email = :email::citext
on conflict (account_id, role) do update set role = excluded.role
returning account_id;

-- name: replace_epoch_seed
update site set epoch_seed = gen_random_uuid();

-- name: demo_accounts
select a.email::text, string_agg(r.role, ', ' order by r.role) as roles
from account a join account_role r on r.account_id = a.id
where a.email = any(:emails::citext[])
group by a.id
order by min(r.role) desc, a.email;

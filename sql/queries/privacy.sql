-- Retention: each statement is one small batch, which deletes rows older than :before among the
-- next rows after a cursor. It returns the new cursor, or no row at the end of the table. The
-- limits are constants and the rows to delete are passed as an array; without them the planner,
-- which would not know how few rows there are, would scan the whole table.

-- name: delete_old_changes
-- For each of the next 50 calendars, deletes from its 100 oldest changes those before the first one
-- that is newer, unpublished, or the calendar's newest, so that the remaining versions have no gap.
with calendars as materialized (
  select c.instructor_id, c.version from calendar c
  where c.instructor_id > :after order by c.instructor_id limit 50
), unpublished as materialized (
  select u.instructor_id, min(u.version) as version
  from outbox_unpublished u group by u.instructor_id
), page as (
  select oldest.row_id, oldest.version < least(c.version, u.version) as replaced,
         bool_and(oldest.created_at < :before)
           over (partition by c.instructor_id order by oldest.version) as old
  from calendars c
  left join unpublished u on u.instructor_id = c.instructor_id
  cross join lateral (
    select o.ctid as row_id, o.version, o.created_at from outbox o
    where o.instructor_id = c.instructor_id order by o.version limit 100
  ) as oldest
), deleted as (
  delete from outbox o
  where o.ctid = any(array(select p.row_id from page p where p.old and p.replaced))
  returning o.version
)
select (select count(*) from deleted) as deleted, c.instructor_id as last
from calendars c order by c.instructor_id desc limit 1;

-- name: delete_old_keys
with page as materialized (
  select k.ctid as row_id, k.account_id, k.key, k.created_at from idempotency_key k
  where (k.account_id, k.key) > (:account_id::uuid, :key::text)
  order by k.account_id, k.key limit 1000
), deleted as (
  delete from idempotency_key k
  where k.ctid = any(array(select p.row_id from page p where p.created_at < :before))
    and k.created_at < :before
  returning k.key
)
select (select count(*) from deleted) as deleted, p.account_id, p.key
from page p order by p.account_id desc, p.key desc limit 1;

-- name: delete_old_sessions
-- Sessions that expired or were revoked before :before.
with page as materialized (
  select s.id, least(s.expires_at, s.revoked_at) as ended_at from session s
  where s.id > :after order by s.id limit 1000
), deleted as (
  delete from session s
  where s.id = any(array(select p.id from page p where p.ended_at < :before))
  returning s.id
)
select (select count(*) from deleted) as deleted, p.id as last
from page p order by p.id desc limit 1;

-- name: delete_old_dev_mails
with page as materialized (
  select m.id, m.created_at from dev_mail m where m.id > :after order by m.id limit 1000
), deleted as (
  delete from dev_mail m
  where m.id = any(array(select p.id from page p where p.created_at < :before))
  returning m.id
)
select (select count(*) from deleted) as deleted, p.id as last
from page p order by p.id desc limit 1;

-- name: delete_old_audit
-- Booking ids increase with time: :first_newer is the lowest possible id of a booking since
-- :before.
with page as materialized (
  select a.ctid as row_id, a.booking_id, a.id, a.at from booking_audit a
  where (a.booking_id, a.id) > (:booking_id::uuid, :id::bigint) and a.booking_id < :first_newer
  order by a.booking_id, a.id limit 1000
), deleted as (
  delete from booking_audit a
  where a.ctid = any(array(select p.row_id from page p where p.at < :before)) and a.at < :before
  returning a.id
)
select (select count(*) from deleted) as deleted, p.booking_id, p.id
from page p order by p.booking_id desc, p.id desc limit 1;

-- name: delete_old_search_history
with page as materialized (
  select x.id, x.searched_at < case when x.is_guest then :guests_before::timestamptz
                                 else :before::timestamptz end as is_old
  from search_history x where x.id > :after order by x.id limit 1000
), deleted as (
  delete from search_history x
  where x.id = any(array(select p.id from page p where p.is_old))
  returning x.id
)
select (select count(*) from deleted) as deleted, p.id as last
from page p order by p.id desc limit 1;

-- name: delete_old_searches
with page as materialized (
  select x.id, x.searched_at < case when x.is_guest then :guests_before::timestamptz
                                 else :before::timestamptz end as is_old
  from search x where x.id > :after order by x.id limit 1000
), deleted as (
  delete from search x
  where x.id = any(array(select p.id from page p where p.is_old))
  returning x.id
)
select (select count(*) from deleted) as deleted, p.id as last
from page p order by p.id desc limit 1;

-- name: delete_old_interactions
with page as materialized (
  select x.id, x.at < case when x.is_guest then :guests_before::timestamptz
                                 else :before::timestamptz end as is_old
  from search_interaction x where x.id > :after order by x.id limit 1000
), deleted as (
  delete from search_interaction x
  where x.id = any(array(select p.id from page p where p.is_old))
  returning x.id
)
select (select count(*) from deleted) as deleted, p.id as last
from page p order by p.id desc limit 1;

-- name: clear_old_addresses
-- The address of a change may be a stranger's, and an error may name one.
with page as materialized (
  select n.id, n.due_at, n.address is not null or n.last_error is not null as has_address
  from notification n where n.id > :after order by n.id limit 1000
), cleared as (
  update notification n set address = null, last_error = null
  where n.id = any(array(select p.id from page p where p.has_address and p.due_at < :before))
    and (n.sent_at is not null or n.given_up_at is not null)
  returning n.id
)
select (select count(*) from cleared) as deleted, p.id as last
from page p order by p.id desc limit 1;

-- name: delete_old_notifications
with page as materialized (
  select n.id, n.due_at from notification n where n.id > :after order by n.id limit 1000
), deleted as (
  delete from notification n
  where n.id = any(array(select p.id from page p where p.due_at < :before))
  returning n.id
)
select (select count(*) from deleted) as deleted, p.id as last
from page p order by p.id desc limit 1;

-- name: last_retention
-- Without a start after a failure, as the job is due again (release_nightly_job).
select nullif(started_at, '-infinity') as started_at, finished_at
from nightly_job
where name = :name;

-- name: record_retention
insert into nightly_job (name, started_at, finished_at) values (:name, :now, :now)
on conflict (name) do update
set started_at = excluded.started_at, finished_at = excluded.finished_at;

-- name: privacy_numbers
select count(*) filter (where a.erasure_began_at is null) as accounts,
       count(*) filter (where a.erasure_began_at is null and a.verified_at is null)
         as unconfirmed_accounts,
       count(*) filter (where a.erased_at is not null) as erased_accounts,
       count(*) filter (where a.erasure_began_at is not null and a.erased_at is null)
         as unfinished_erasures,
       (select coalesce(jsonb_object_agg(r.role, r.number), '{}')
        from (select role, count(*) as number from account_role group by role) as r) as roles,
       (select jsonb_object_agg(t.relname, greatest(t.reltuples, 0)::bigint)
        from pg_class t
        where t.relnamespace = 'public'::regnamespace and t.relkind = 'r'
          and t.relname in ('booking', 'booking_audit', 'dev_mail', 'idempotency_key',
                            'notification', 'outbox', 'search', 'search_history',
                            'search_interaction', 'session')) as rows
from account a;

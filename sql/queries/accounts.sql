-- name: session_by_id
-- Who is asking: read by every request that is not public.
select a.id as account_id, a.email::text, a.full_name, a.time_zone,
       array(select r.role from account_role r where r.account_id = a.id) as roles,
       array(
         select distinct p.permission from account_role r join role_permission p on p.role = r.role where r.account_id = a.id
       ) as permissions,
       s.expires_at
from session s
join account a on a.id = s.account_id
where s.id = :session_id and s.revoked_at is null and s.expires_at > :now

-- name: insert_session
-- The account's sessions that ended long ago leave with it, so that the table stays as small as its use.
with old as (
  delete from session where account_id = :account_id and expires_at < :now::timestamptz - interval '30 days'
)
insert into session (account_id, created_at, expires_at) values (:account_id, :now, :expires_at)
returning id

-- name: renew_session
update session set expires_at = :expires_at where id = :session_id and revoked_at is null
returning id

-- name: revoke_session
update session set revoked_at = now() where id = :session_id and revoked_at is null
returning id

-- name: revoke_session_of
update session set revoked_at = now()
where id = :session_id and account_id = :account_id and revoked_at is null and expires_at > :now
returning id

-- name: revoke_sessions
update session set revoked_at = now() where account_id = :account_id and revoked_at is null
returning id

-- name: sessions_of_account
select id, created_at, expires_at from session
where account_id = :account_id and revoked_at is null and expires_at > :now
  and (:created_at::timestamptz is null or (created_at, id) < (:created_at, :id::uuid))
order by created_at desc, id desc
limit :limit

-- name: dead_sessions
-- Those of open sockets that are over.
select wanted.id, case when s.revoked_at is null and s.id is not null then 'expired' else 'revoked' end as reason
from unnest(:session_ids::uuid[]) as wanted (id)
left join session s on s.id = wanted.id
where s.id is null or s.revoked_at is not null or s.expires_at <= :now

-- name: insert_account
-- An account with its role; for an instructor an active profile and a calendar at version 0 too.
with made as (
  insert into account (email, password_hash, full_name, time_zone) values (:email, :password_hash, :full_name, :time_zone)
  returning id, time_zone
), given as (
  insert into account_role (account_id, role) select id, :role from made
), teaches as (
  insert into instructor (id) select id from made where :role = 'instructor'
), calendar as (
  insert into calendar (instructor_id, time_zone) select id, time_zone from made where :role = 'instructor'
)
select id from made

-- name: secret_by_email
select id, password_hash from account where email = :email::citext

-- name: replace_password_hash
-- Only if it is still the one that was verified: the password may have been changed meanwhile.
update account set password_hash = :after where id = :account_id and password_hash = :before
returning id

-- name: is_zone
select is_zone(:time_zone)

-- name: lock_accounts
-- Two that find nobody must not both bring the demo people.
lock table account in share row exclusive mode

-- name: nobody_yet
select not exists (select from account)

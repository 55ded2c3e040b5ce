-- name: session_by_id
-- The account behind a session; every request that is not public reads it.
select a.id as account_id, a.email::text, a.full_name, a.time_zone,
       array(select r.role from account_role r where r.account_id = a.id) as roles,
       s.expires_at
from session s
join account a on a.id = s.account_id
where s.id = :session_id and s.revoked_at is null and s.expires_at > :now

-- name: permissions_of_roles
select distinct p.permission from role_permission p where p.role = any (:roles::text[])

-- name: insert_session
-- Also deletes the account's sessions that expired more than 30 days ago, so that the table stays
-- small.
with old as (
  delete from session
  where account_id = :account_id and expires_at < :now::timestamptz - interval '30 days'
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

-- name: ended_sessions
-- The given sessions (of open sockets) that have ended.
select live.id,
       case when s.revoked_at is null and s.id is not null then 'expired'
            else 'revoked' end as reason
from unnest(:session_ids::uuid[]) as live (id)
left join session s on s.id = live.id
where s.id is null or s.revoked_at is not null or s.expires_at <= :now

-- name: insert_account
-- An account with its role; for an instructor also a profile and an active calendar at version 0.
with new_account as (
  insert into account (email, password_hash, full_name, time_zone)
  values (:email, :password_hash, :full_name, :time_zone)
  returning id, time_zone
), new_role as (
  insert into account_role (account_id, role) select id, :role from new_account
), profile as (
  insert into instructor (id) select id from new_account where :role = 'instructor'
), new_calendar as (
  insert into calendar (instructor_id, time_zone)
  select id, time_zone from new_account where :role = 'instructor'
)
select id from new_account

-- name: secret_by_email
select id, password_hash from account where email = :email::citext

-- name: replace_password_hash
-- Only if the verified hash is still current: the password may have changed since.
update account set password_hash = :after where id = :account_id and password_hash = :before
returning id

-- name: is_zone
select is_zone(:time_zone)

-- name: lock_accounts
-- Two processes that start on an empty database must not both create the demo accounts.
lock table account in share row exclusive mode

-- name: no_accounts
select not exists (select from account)

-- name: insert_welcome
-- The mail that welcomes a new account.
insert into notification (kind, recipient_id, due_at) values ('welcome', :account_id, :now);

-- name: open_sessions
-- The accounts behind sessions; every request that is not public reads its own. The caller compares
-- `expires_at` with the time of the request.
select s.id as session_id, a.id as account_id, a.email::text, a.full_name, a.time_zone,
       a.clock::text as clock, a.verified_at is not null as is_verified,
       array(select r.role from account_role r where r.account_id = a.id) as roles,
       s.created_at, s.expires_at, coalesce(s.last_used_at, s.created_at) as last_used_at
from session s
join account a on a.id = s.account_id
where s.id = any (:keys::uuid[]) and s.revoked_at is null and a.erasure_began_at is null

-- name: permissions_of_roles
select distinct p.permission from role_permission p where p.role = any (:roles::text[])

-- name: insert_session
-- Also deletes the account's sessions that expired more than 30 days ago, so that the table stays
-- small; ends the oldest ones, so that at most :max_sessions stay open; and ends :previous_id, the
-- session that this one replaces.
with old as (
  delete from session
  where account_id = :account_id and expires_at < :now::timestamptz - interval '30 days'
), ended as (
  update session s set revoked_at = :now
  where s.id = :previous_id and s.revoked_at is null
     or s.id = any(array(
       select surplus.id from session surplus
       where surplus.account_id = :account_id and surplus.revoked_at is null
         and surplus.expires_at > :now and surplus.id is distinct from :previous_id
       order by surplus.created_at desc, surplus.id desc
       offset :max_sessions::bigint - 1
     ))
)
insert into session (account_id, created_at, expires_at, device)
values (:account_id, :now, :expires_at, :device)
returning id

-- name: lock_account
-- Sign-ins of one account open their sessions one after the other.
select id from account where id = :account_id for no key update

-- name: use_session
update session set expires_at = :expires_at, last_used_at = :now
where id = :session_id and revoked_at is null
returning id

-- name: revoke_session
update session set revoked_at = now() where id = :session_id and revoked_at is null
returning id

-- name: revoke_session_of
update session set revoked_at = now()
where id = :session_id and account_id = :account_id and revoked_at is null and expires_at > :now
returning id

-- name: revoke_sessions
-- All sessions of the account, except the one to be kept, if any.
update session set revoked_at = now()
where account_id = :account_id and revoked_at is null and id is distinct from :kept_id::uuid
returning id

-- name: sessions_of_account
select id, created_at, expires_at, device, coalesce(last_used_at, created_at) as last_used_at
from session
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

-- name: roles_of_accounts
-- Accounts without roles are left out.
select r.account_id, array_agg(r.role) as roles
from account_role r where r.account_id = any(:account_ids::uuid[])
group by r.account_id

-- name: insert_account
-- An account with its role; for an instructor also a profile and an active calendar at version 0.
with new_account as (
  insert into account (email, password_hash, full_name, time_zone, verified_at)
  values (:email, :password_hash, :full_name, :time_zone, :verified_at)
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

-- name: candidate
-- The address as the database compares addresses, and its account, if there is one.
select lower(given.email) as email, a.id, a.password_hash
from (values (:email::text)) as given (email)
left join account a on a.email = given.email::citext

-- name: credentials_of
select id, email::text, full_name, password_hash, verified_at is not null as is_verified
from account where id = :account_id

-- name: verify_account
-- Only if the address is still the one that was confirmed.
update account set verified_at = coalesce(verified_at, :now)
where id = :account_id and email = :email::citext
returning id

-- name: verify_addresses
-- The ids of all accounts with these addresses.
update account set verified_at = coalesce(verified_at, :now)
where email = any(:emails::citext[])
returning id

-- name: change_email
-- Only if the address and the password are still those that the change was requested with.
update account set email = :email, verified_at = :now
where id = :account_id and email = :before::citext and password_hash = :password_hash
returning id

-- name: is_email_taken
select exists (select from account where email = :email::citext)

-- name: change_profile
-- The new name of an instructor is a step of the calendar, because public answers show it.
with changed as (
  update account a
  set full_name = coalesce(:full_name, a.full_name),
      time_zone = coalesce(:time_zone, a.time_zone), clock = coalesce(:clock, a.clock)
  where a.id = :account_id
  returning a.id, a.full_name, a.time_zone, a.clock::text as clock,
            old.full_name <> new.full_name as is_renamed
)
select changed.full_name, changed.time_zone, changed.clock,
       (select step(c.instructor_id, '{}') from calendar c
        where c.instructor_id = changed.id and changed.is_renamed) as version
from changed;

-- name: change_password
-- Only if the verified hash is still current.
update account set password_hash = :after where id = :account_id and password_hash = :before
returning id

-- name: replace_password_hash
-- Only if the verified hash is still current: the password may have changed since.
update account set password_hash = :after where id = :account_id and password_hash = :before
returning id

-- name: is_zone
select is_zone(:time_zone)

-- name: wait_longer
-- Creating the demo takes seconds, and another process may wait for it. Below statement_timeout.
select set_config('lock_timeout', '7s', true);

-- name: lock_accounts
-- Two processes that start on an empty database must not both create the demo accounts.
lock table account in share row exclusive mode

-- name: no_accounts
select not exists (select from account)

-- name: insert_account_notification
-- A mail about the account. `address` is null for the account's own.
insert into notification (kind, recipient_id, sequence, address, due_at)
select :kind::text, :account_id::uuid,
       coalesce((
         select max(n.sequence) + 1 from notification n
         where n.booking_id is null and n.recipient_id = :account_id and n.kind = :kind::text
       ), 0),
       :address::citext, :now
on conflict do nothing;

-- name: release_withheld
-- After an address was confirmed: mail that was withheld becomes due, unless it is no longer
-- accurate. (`delivery` checks the rest, as for any other mail.)
update notification n
set withheld_at = null,
    given_up_at = case when stale.reason is not null then :now::timestamptz end,
    dropped_reason = stale.reason
from (
  select w.id,
         case
           when lower(b.during) <= :now then 'too_late'
           when w.kind = 'booking_confirmed' and b.state = 'cancelled' then 'booking_cancelled'
           when w.kind = 'booking_confirmed' and b.sequence <> w.sequence then 'booking_moved'
           when w.kind = 'password_reset' and w.due_at < :now::timestamptz - interval '1 hour'
           then 'too_late'
         end as reason
  from notification w
  left join booking b on b.id = w.booking_id
  where w.recipient_id = any(:account_ids::uuid[]) and w.withheld_at is not null
) as stale
where n.id = stale.id
returning n.id;

-- name: totp_of
select secret, confirmed_at from totp where account_id = :account_id;

-- name: has_second_factor
select exists (
  select from totp where account_id = :account_id and confirmed_at is not null
);

-- name: start_totp
-- A new secret, unless one is confirmed already.
insert into totp (account_id, secret) values (:account_id, :secret)
on conflict (account_id) do update set secret = excluded.secret, last_step = 0
where totp.confirmed_at is null
returning account_id;

-- name: use_totp_step
-- Uses the code of a time step, once. The first one confirms the secret.
update totp set last_step = :step, confirmed_at = coalesce(confirmed_at, :now)
where account_id = :account_id and secret = :secret and last_step < :step
returning account_id;

-- name: plain_totps
-- Secrets that earlier releases stored unencrypted.
select account_id, secret from totp where not starts_with(secret, :prefix) limit 1000;

-- name: encrypt_totp
update totp set secret = :encrypted where account_id = :account_id and secret = :secret
returning account_id;

-- name: lock_confirmed_totp
select account_id from totp where account_id = :account_id and confirmed_at is not null for update;

-- name: replace_recovery_codes
with earlier as (
  delete from recovery_code where account_id = :account_id
)
insert into recovery_code (account_id, hash) select :account_id, unnest(:hashes::bytea[]);

-- name: use_recovery_code
delete from recovery_code r using totp t
where r.account_id = :account_id and r.hash = :hash
  and t.account_id = r.account_id and t.confirmed_at is not null
returning r.account_id;

-- name: recovery_codes_left
select count(*) from recovery_code where account_id = :account_id;

-- name: delete_totp
delete from totp where account_id = :account_id returning account_id;

-- name: newest_accounts
select a.id, a.email::text as email, a.full_name, a.verified_at is not null as is_verified,
       a.erasure_began_at is not null as is_erased,
       array(select r.role from account_role r where r.account_id = a.id order by r.role) as roles,
       a.created_at
from account a
where a.id < :before
order by a.id desc
limit :limit;

-- name: newest_accounts_of_role
select a.id, a.email::text as email, a.full_name, a.verified_at is not null as is_verified,
       a.erasure_began_at is not null as is_erased,
       array(select r.role from account_role r where r.account_id = a.id order by r.role) as roles,
       a.created_at
from account_role o
join account a on a.id = o.account_id
where o.role = :role and o.account_id < :before
order by o.account_id desc
limit :limit;

-- name: accounts_with_words
-- Accounts whose name or address contains this text. Materialized, because reading the accounts in
-- order until enough match would take long for rare text.
with matching as materialized (
  select a.id from account a
  where lower(a.full_name || ' ' || a.email::text) like lower(:pattern)
)
select a.id, a.email::text as email, a.full_name, a.verified_at is not null as is_verified,
       a.erasure_began_at is not null as is_erased,
       array(select r.role from account_role r where r.account_id = a.id order by r.role) as roles,
       a.created_at
from matching join account a on a.id = matching.id
where a.id < :before and (:role::text is null or exists (
    select from account_role o where o.account_id = a.id and o.role = :role
  ))
order by a.id desc
limit :limit;

-- name: account_for_staff
select a.id, a.email::text as email, a.full_name, a.verified_at is not null as is_verified,
       a.erasure_began_at is not null as is_erased,
       array(select r.role from account_role r where r.account_id = a.id order by r.role) as roles,
       a.created_at
from account a where a.id = :id;

-- name: set_roles
select refusal, added, removed from set_roles(:actor_id, :account_id, :roles);

-- name: take_role
select is_refused, is_new from take_role(:account_id, :role);

-- name: removed_roles
select role from removed_role where account_id = :account_id order by role;

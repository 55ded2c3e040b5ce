-- What staff does: the rules that were overridden for a booking, and lists of all accounts and
-- bookings. An index of trigrams finds the parts of names and addresses that people type.
alter table booking_audit
  add column override text[] not null default '{}' constraint booking_audit_override
    check (override <@ '{availability,blackout,notice,horizon}');
create extension if not exists pg_trgm;
create index account_by_words on account
  using gin (lower(full_name || ' ' || email::text) gin_trgm_ops);
create index account_by_role on account_role (role, account_id);
create index booking_by_start on booking ((lower(during)), id);

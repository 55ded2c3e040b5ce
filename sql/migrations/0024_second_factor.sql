-- The second factor of an account: time-based one-time passwords (RFC 6238). It counts from
-- `confirmed_at` on. `last_step` is the time step of the last code that was used; an earlier or
-- equal one is refused, so that each code works once.
create table totp (
  account_id   uuid primary key references account on delete cascade,
  secret       text not null,
  confirmed_at timestamptz,
  last_step    bigint not null default 0
);

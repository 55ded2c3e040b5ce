-- Accounts confirm their e-mail addresses, and choose a 12- or 24-hour clock. The addresses of
-- existing accounts count as confirmed: they have been getting their mail.
create domain clock_hours as text constraint clock_hours check (value in ('12', '24'));
alter table account
  add column verified_at timestamptz default now(),
  add column clock clock_hours not null default '12';
alter table account alter column verified_at drop default;

-- Where an account is signed in, coarsely ("Firefox on Windows"), and when it was last seen there.
alter table session
  add column device text not null default '' constraint session_device_length
    check (length(device) <= 100),
  add column last_used_at timestamptz;

-- Mail to an address that is not confirmed waits: `withheld_at` says since when. `address` is where
-- a notification goes if not to the account's present address.
alter domain notification_kind drop constraint notification_kind;
alter domain notification_kind add constraint notification_kind
  check (value in ('booking_confirmed', 'booking_cancelled', 'booking_rescheduled', 'reminder',
                   'welcome', 'password_reset', 'verification', 'email_change', 'email_changed',
                   'password_changed')) not valid;
alter table notification
  add column withheld_at timestamptz,
  add column address citext;
drop index notification_due;
create index notification_due on notification (due_at)
  where sent_at is null and given_up_at is null and withheld_at is null;
create index notification_withheld on notification (recipient_id) where withheld_at is not null;

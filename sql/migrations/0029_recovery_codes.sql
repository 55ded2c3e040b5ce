-- Codes that replace the app of a second factor, once each. The hash is of random text, so it needs
-- no salt of its own. A new secret of the app, or none, ends them.
create table recovery_code (
  account_id uuid not null references totp on delete cascade,
  hash       bytea not null,
  primary key (account_id, hash)
);

alter domain notification_kind drop constraint notification_kind;
alter domain notification_kind add constraint notification_kind
  check (value in ('booking_confirmed', 'booking_cancelled', 'booking_rescheduled', 'reminder',
                   'welcome', 'password_reset', 'verification', 'email_change', 'email_changed',
                   'password_changed', 'recovery_code_used')) not valid;

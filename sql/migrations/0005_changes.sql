-- Work after a commit: changes to publish, and mails to send. The transaction that causes the work
-- writes the rows.

-- One step of a calendar's version. `days` is the complete new board content of every changed local
-- day, so applying a change twice or late does no harm. `events` are the bookings it changed, as
-- booking_detail rows.
create table outbox (
  id            bigint generated always as identity,
  instructor_id uuid not null references calendar on delete cascade,
  version       bigint not null,
  days          jsonb not null,
  events        jsonb not null default '[]',
  created_at    timestamptz not null default clock_timestamp(),
  published_at  timestamptz,
  constraint outbox_one_change_per_version primary key (instructor_id, version)
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05);
-- Ids of one calendar are drawn under its lock, so id order is version order there. Across
-- calendars it means nothing, so the relay reads unpublished rows and never `id > last`.
create index outbox_unpublished on outbox (id) where published_at is null;
create index outbox_age on outbox (created_at);

-- The ledger of messages to accounts: a row is due once and sent once.
create table notification (
  id           bigint generated always as identity primary key,
  kind         text not null constraint notification_kind
    check (kind in ('booking_confirmed', 'booking_cancelled', 'booking_rescheduled', 'reminder',
                    'welcome', 'password_reset')),
  recipient_id uuid not null references account on delete cascade,
  booking_id   uuid references booking on delete cascade,
  sequence     integer not null default 0,
  due_at       timestamptz not null,
  attempts     integer not null default 0,
  last_error   text,
  sent_at      timestamptz,
  given_up_at  timestamptz,
  constraint notification_once unique (booking_id, recipient_id, kind, sequence)
);
create index notification_due
  on notification (due_at) where sent_at is null and given_up_at is null;

-- Mails of a site without an SMTP server; /dev/mail shows them.
create table dev_mail (
  id              bigint generated always as identity primary key,
  notification_id bigint constraint dev_mail_once unique references notification on delete cascade,
  created_at      timestamptz not null default now(),
  sender          text not null,
  recipient       text not null,
  subject         text not null,
  body_text       text not null,
  body_html       text not null,
  calendar        text
);

-- The write path: a narrow queue of unpublished changes, one definition of the states that occupy
-- time, no foreign key that takes a lock out of order, and room for holds, patterns and retention.

-- The first release had these in `public`; this one redefines them.
drop view if exists booking_detail;
drop function if exists reserve(uuid, uuid, timestamptz, integer, text, text, text, timestamptz);
drop function if exists cancel_booking(uuid, uuid, text, timestamptz);
drop function if exists booking_event(text, uuid, bigint);
drop function if exists expire_hold(uuid, bigint, timestamptz);
drop function if exists step(uuid, date[], jsonb);
drop function if exists free_time(uuid, timestamptz, timestamptz);

-- ---- Sessions. Signing in deletes the account's old ones, and /account lists them by age.
drop index session_account;
create index session_of_account on session (account_id, created_at desc, id desc);

-- ---- Rules about a single value are domains. Postgres parses a table's check constraints for
-- every statement that writes to it, and a domain's once per session; the checks took 12 % of a
-- booking.
create domain booking_state as text constraint booking_state
  check (value in ('held', 'confirmed', 'completed', 'cancelled', 'no_show', 'expired'));
create domain bounded_range as tstzrange constraint bounded_range
  check (not isempty(value) and lower_inc(value) and not upper_inc(value)
         and isfinite(lower(value)) and isfinite(upper(value)));
create domain cents as integer constraint cents check (value >= 0);
create domain location_type as text constraint location_type
  check (value in ('student', 'instructor', 'public'));
create domain short_text as text constraint short_text check (length(value) <= 500);
create domain note_text as text constraint note_text check (length(value) <= 2000);
create domain notice_minutes as integer constraint notice_minutes check (value between 0 and 43200);
create domain buffer_minutes as integer constraint buffer_minutes check (value between 0 and 240);
create domain free_cancel_hours as integer constraint free_cancel_hours
  check (value between 1 and 48);
create domain notification_kind as text constraint notification_kind
  check (value in ('booking_confirmed', 'booking_cancelled', 'booking_rescheduled', 'reminder',
                   'welcome', 'password_reset'));
create domain idempotency_key_text as text constraint idempotency_key_text
  check (length(value) between 1 and 200);

alter table calendar
  drop constraint calendar_notice,
  drop constraint calendar_buffer,
  drop constraint calendar_free_cancel,
  alter column min_advance_minutes type notice_minutes,
  alter column travel_buffer_minutes type buffer_minutes,
  alter column free_cancel_hours type free_cancel_hours;

-- ---- Bookings.
alter table booking
  drop constraint booking_state,
  drop constraint booking_bounded,
  drop constraint booking_price,
  drop constraint booking_location_type,
  drop constraint booking_location_length,
  drop constraint booking_note_length,
  drop constraint booking_instructor_note_length,
  drop constraint booking_reason_length,
  -- booking_detail derives it from `during`.
  drop column duration_minutes;
drop index booking_hold_runs_out;
alter table booking
  drop constraint booking_instructor_no_overlap,
  drop constraint booking_student_no_overlap;
alter table booking
  alter column state type booking_state,
  alter column during type bounded_range,
  alter column price_cents type cents,
  alter column location_type type location_type,
  alter column location type short_text,
  alter column note type note_text,
  alter column instructor_note type note_text,
  alter column cancel_reason type short_text;
alter table booking
  add constraint booking_not_with_oneself check (student_id <> instructor_id),
  -- A hold may be extended once.
  add column hold_extended boolean not null default false,
  -- The states that occupy time, named here and nowhere else. Stored, because the exclusion
  -- constraints and their plans need it in the index predicate.
  add column occupies_time boolean not null
    generated always as (state in ('held', 'confirmed', 'completed', 'no_show')) stored;
-- One foreign key instead of two; it also requires that the service is the instructor's own.
alter table service add constraint service_of_instructor unique (instructor_id, id);
alter table booking
  drop constraint booking_instructor_id_fkey,
  drop constraint booking_service_id_fkey,
  add constraint booking_service_of_instructor
    foreign key (instructor_id, service_id) references service (instructor_id, id);
create index booking_hold_runs_out on booking (held_until) where state = 'held';
alter table booking
  add constraint booking_instructor_no_overlap
    exclude using gist (instructor_id with =, blocked with &&) where (occupies_time),
  add constraint booking_student_no_overlap
    exclude using gist (student_id with =, during with &&) where (occupies_time);
-- For completing lessons and for reminders.
create index booking_confirmed_end on booking ((upper(during))) where state = 'confirmed';

-- ---- The ledgers have no foreign keys. Their checks take key-share locks on the referenced rows
-- in the order of the inserts, for example on the instructor's account after the calendar, and
-- deadlock with writers that lock in another order. The referenced rows exist, because both are
-- written under the same locks, and erasure keeps accounts and bookings as rows without personal
-- data.
drop index booking_audit_of_booking;
alter table booking_audit
  drop constraint booking_audit_booking_id_fkey,
  drop constraint booking_audit_actor_id_fkey,
  drop constraint booking_audit_pkey,
  add constraint booking_audit_pkey primary key (booking_id, id);
alter table notification
  drop constraint notification_recipient_id_fkey,
  drop constraint notification_booking_id_fkey,
  drop constraint notification_once,
  drop constraint notification_kind,
  alter column kind type notification_kind,
  add constraint notification_once
    unique nulls not distinct (booking_id, recipient_id, kind, sequence);
-- For notifications without a booking. (The others are found through the account's bookings.)
create index notification_of_account on notification (recipient_id) where booking_id is null;

-- ---- Idempotency keys. `fingerprint` is the SHA-256 of method, path and body, equal for a repeat.
alter table idempotency_key
  drop constraint idempotency_key_account_id_fkey,
  drop constraint idempotency_key_length,
  alter column key type idempotency_key_text,
  add column fingerprint bytea;
update idempotency_key
set fingerprint = sha256(convert_to(method || E'\n' || path || E'\n', 'UTF8') || body_sha256);
delete from idempotency_key where answer is null;
alter table idempotency_key
  alter column fingerprint set not null,
  alter column answer type jsonb,
  alter column answer set not null,
  drop column method,
  drop column path,
  drop column body_sha256;

-- ---- The outbox. Publishing deletes from a narrow queue instead of rewriting the wide row.
drop index outbox_unpublished;
create table outbox_unpublished (
  id            bigint generated always as identity primary key,
  instructor_id uuid not null,
  version       bigint not null
) with (autovacuum_vacuum_scale_factor = 0.02, fillfactor = 100);
comment on table outbox_unpublished is
  'Changes the relay has yet to publish. Ids of one calendar are drawn under its lock, so id order '
  'is version order there; across calendars it means nothing.';
insert into outbox_unpublished (instructor_id, version)
select instructor_id, version from outbox where published_at is null order by id;
alter table outbox
  drop constraint outbox_instructor_id_fkey,
  drop column id,
  drop column published_at;
-- Retention reads by primary key (0008_retention.sql).
drop index outbox_age;
-- Events contain ids only; the process that shows a booking reads its row. No personal data passes
-- through Redis.
update outbox set events = (
  select jsonb_agg(jsonb_build_object(
           'event', e -> 'event', 'previous_version', e -> 'previous_version',
           'booking_id', e -> 'booking' -> 'id', 'student_id', e -> 'booking' -> 'student_id',
           'instructor_id', e -> 'booking' -> 'instructor_id'
         ) order by number)
  from jsonb_array_elements(events) with ordinality as events (e, number)
)
where events <> '[]';

-- ---- Weeks edited by the instructor, which the recurring pattern will not overwrite.
create table edited_week (
  instructor_id uuid not null references calendar on delete cascade,
  monday        date not null constraint edited_week_starts_on_monday
    check (extract(isodow from monday) = 1),
  edited_at     timestamptz not null,
  primary key (instructor_id, monday)
);

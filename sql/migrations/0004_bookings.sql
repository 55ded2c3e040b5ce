-- Bookings. The two exclusion constraints (replaced in 0006) keep the promise: lessons of one
-- instructor, or of one student, never overlap.

create table booking (
  id                 uuid primary key default uuidv7(),
  instructor_id      uuid not null references calendar,
  student_id         uuid not null references account,
  service_id         uuid not null references service,
  state              text not null constraint booking_state
    check (state in ('held', 'confirmed', 'completed', 'cancelled', 'no_show', 'expired')),
  during             tstzrange not null constraint booking_bounded
    check (not isempty(during) and lower_inc(during) and not upper_inc(during)
           and isfinite(lower(during)) and isfinite(upper(during))),
  -- `during` and the travel buffer after it. A plain column, because timestamptz + interval is not
  -- immutable.
  blocked            tstzrange not null constraint booking_blocked_starts_with_during
    check (lower(blocked) = lower(during) and upper(blocked) >= upper(during)),
  held_until         timestamptz constraint booking_hold_ends
    check (state <> 'held' or held_until is not null),
  -- The terms at the time of booking.
  service_name       text not null,
  duration_minutes   integer not null,
  price_cents        integer not null constraint booking_price check (price_cents >= 0),
  location_type      text not null constraint booking_location_type
    check (location_type in ('student', 'instructor', 'public')),
  location           text not null default '' constraint booking_location_length
    check (length(location) <= 500),
  note               text not null default '' constraint booking_note_length
    check (length(note) <= 2000),
  instructor_note    text not null default '' constraint booking_instructor_note_length
    check (length(instructor_note) <= 2000),
  free_cancel_until  timestamptz not null,
  late               boolean constraint booking_late_when_cancelled
    check (late is null or state = 'cancelled'),
  cancel_reason      text not null default '' constraint booking_reason_length
    check (length(cancel_reason) <= 500),
  sequence           integer not null default 0,
  version            bigint not null,  -- the calendar's, at the last change of this booking
  created_at         timestamptz not null,
  constraint booking_instructor_no_overlap
    exclude using gist (instructor_id with =, blocked with &&)
    where (state in ('held', 'confirmed', 'completed', 'no_show')),
  constraint booking_student_no_overlap
    exclude using gist (student_id with =, during with &&)
    where (state in ('held', 'confirmed', 'completed', 'no_show'))
);
create index booking_of_student on booking (student_id, (lower(during)), id) include (version);
create index booking_of_instructor on booking (instructor_id, (lower(during)), id);
create index booking_hold_runs_out on booking (held_until) where state = 'held';
create index booking_of_service on booking (service_id);

-- Every change of a booking's state, with its actor and time.
create table booking_audit (
  id         bigint generated always as identity primary key,
  booking_id uuid not null references booking on delete cascade,
  at         timestamptz not null,
  actor_id   uuid references account on delete set null,  -- null: the product (a hold expired)
  event      text not null,
  from_state text,
  to_state   text not null
);
create index booking_audit_of_booking on booking_audit (booking_id, id);

-- A key belongs to one account. The transaction of the booking stores it last (idempotency.sql).
create table idempotency_key (
  account_id   uuid not null references account on delete cascade,
  key          text not null constraint idempotency_key_length
    check (length(key) between 1 and 200),
  method       text not null,
  path         text not null,
  body_sha256  bytea not null,
  answer       json,  -- jsonb since 0006
  created_at   timestamptz not null,
  primary key (account_id, key)
);

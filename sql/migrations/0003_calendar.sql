-- One instructor's calendar: the narrow row that writers lock, availability and blackouts.

create table calendar (
  instructor_id         uuid primary key references instructor on delete cascade,
  version               bigint not null default 0,
  -- The version at which availability or blackouts last changed. An editor's `version` is compared
  -- with it.
  availability_version  bigint not null default 0,
  is_active             boolean not null default true,
  time_zone             text not null default 'America/New_York',
  min_advance_minutes   integer not null default 120 constraint calendar_notice
    check (min_advance_minutes between 0 and 43200),
  travel_buffer_minutes integer not null default 0 constraint calendar_buffer
    check (travel_buffer_minutes between 0 and 240),
  free_cancel_hours     integer not null default 12 constraint calendar_free_cancel
    check (free_cancel_hours between 1 and 48)
);

create table availability (
  instructor_id uuid not null references calendar on delete cascade,
  during        tstzrange not null constraint availability_bounded
    check (not isempty(during) and lower_inc(during) and not upper_inc(during)
           and isfinite(lower(during)) and isfinite(upper(during))),
  constraint availability_no_overlap primary key (instructor_id, during without overlaps)
);

create table blackout (
  instructor_id uuid not null references calendar on delete cascade,
  day           date not null,
  reason        text not null default '' constraint blackout_reason_length
    check (length(reason) <= 500),
  primary key (instructor_id, day)
);

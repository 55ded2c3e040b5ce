-- The next start of each calendar for every length that its instructor offers. Lists of "free next"
-- are ordered by it.

create sequence next_start_revision;

-- `start` is a lower bound of the next start that can be booked: no earlier one becomes available
-- unless a writer frees or opens time and invalidates the row (functions/next_start.sql). A booking
-- only occupies time, so it writes nothing here.
create table next_start (
  instructor_id uuid not null references calendar on delete cascade,
  minutes       integer not null,
  start         timestamptz not null default '-infinity',   -- 'infinity': no free time
  -- Until then the minimum notice allows `start`.
  valid_until   timestamptz not null default '-infinity',
  -- Changes when the row is invalidated, so that a start computed from an older state is not
  -- stored.
  revision      bigint not null default nextval('next_start_revision'),
  primary key (instructor_id, minutes)
);
create index next_start_in_order on next_start (start, instructor_id, minutes);
create index next_start_passed on next_start (valid_until);

-- The length on a service's card: an hour if it is on offer, because prices are per hour.
alter table service add column card_minutes integer not null
  generated always as (
    case when 60 = any (durations_minutes) then 60 else durations_minutes[1] end
  ) stored;
create index service_card on service (instructor_id, card_minutes, id) where is_active;

insert into next_start (instructor_id, minutes)
select distinct s.instructor_id, length
from service s, unnest(s.durations_minutes) as length
where s.is_active;

-- app/availability/start_times.py lays out the possible starts now.
drop function if exists nearest_starts(uuid, uuid, timestamptz, integer, timestamptz, integer);

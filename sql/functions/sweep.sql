-- Changes that only the passing of time makes due: expired holds are released, and lessons that
-- ended a day ago are completed.

create function due_bookings(p_now timestamptz)
returns table (id uuid, instructor_id uuid)
language sql stable as $$
  select b.id, b.instructor_id from booking b
  where b.state = 'held' and b.held_until <= p_now
  union all
  select b.id, b.instructor_id from booking b
  where b.state = 'confirmed' and upper(b.during) <= p_now - completion_delay()
$$;

-- Handles the due bookings of up to p_limit calendars, in one step of each, and returns their
-- number. It skips locked calendars, so that it neither waits nor deadlocks; with p_waits, it waits
-- for one calendar. The calendars stay locked until the transaction ends: a larger p_limit would
-- make bookings wait longer.
create function sweep(p_limit integer, p_waits boolean, p_now timestamptz) returns integer
language plpgsql volatile set plan_cache_mode = force_generic_plan set enable_seqscan = off as $$
declare
  v_calendars uuid[];
  v_calendar  calendar;
  v_step      record;
  v_count     integer := 0;
begin
  v_calendars := array(
    select distinct d.instructor_id from due_bookings(p_now) as d
    limit case when p_waits then 1 else p_limit end);
  if v_calendars = '{}' then
    return 0;
  end if;
  if p_waits then
    perform from calendar c where c.instructor_id = any (v_calendars) for no key update;
  else
    v_calendars := array(
      select c.instructor_id from calendar c
      where c.instructor_id = any (v_calendars)
      order by c.instructor_id for no key update skip locked);
  end if;

  -- The boards are computed by later statements, which see these changes.
  for v_step in
    with changed as (
      update booking b
      set state = case b.state when 'held' then 'expired' else 'completed' end,
          version = c.version + 1
      from calendar c
      where b.id = any (array(
          select d.id from due_bookings(p_now) as d where d.instructor_id = any (v_calendars)))
        and c.instructor_id = b.instructor_id
      returning old.state as from_state, old.version as previous_version, new as booking
    ), audit as (
      insert into booking_audit (booking_id, at, actor_id, event, from_state, to_state, starts_at)
      select (x.booking).id, p_now, null, (x.booking).state, x.from_state, (x.booking).state,
             lower((x.booking).during)
      from changed x
    ), calendar_step as (
      update calendar c set version = c.version + 1
      where c.instructor_id in (select (x.booking).instructor_id from changed x)
      returning c as calendar
    ), queued as (
      insert into outbox_unpublished (instructor_id, version)
      select (s.calendar).instructor_id, (s.calendar).version from calendar_step s
    ), forgotten as (
      update next_start n
      set start = '-infinity', valid_until = '-infinity',
          revision = nextval('next_start_revision')
      where n.instructor_id in (
        select (x.booking).instructor_id from changed x where x.from_state = 'held')
    )
    select s.calendar, array_agg(x.booking) as bookings,
           jsonb_agg(booking_event((x.booking).state, x.booking, x.previous_version)) as events
    from calendar_step s
    join changed x on (x.booking).instructor_id = (s.calendar).instructor_id
    group by s.calendar
  loop
    v_calendar := v_step.calendar;
    v_count := v_count + cardinality(v_step.bookings);
    insert into outbox (instructor_id, version, days, events)
    values (v_calendar.instructor_id, v_calendar.version,
            board_days(v_calendar.instructor_id, array(
              select distinct day
              from unnest(v_step.bookings) as b,
                   unnest(board_dates(b.during, b.blocked, v_calendar)) as day
              where b.state = 'expired'
            )), v_step.events);
  end loop;
  return v_count;
end
$$;

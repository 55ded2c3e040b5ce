-- Rules for booking a lesson, separate from `reserve`, because holding and moving a lesson share
-- them. None of these functions writes.

-- The refusal that applies to a lesson of this service regardless of the calendar's contents, or
-- null. The caller has read `p_calendar` and `p_service`; they are null if there is no such row.
-- p_location: null if the lesson needs none yet.
create function lesson_refusal(
  p_student uuid, p_service service, p_calendar calendar, p_start timestamptz, p_minutes integer,
  p_location_type text, p_location text, p_now timestamptz
) returns text
language plpgsql stable as $$
begin
  return case
    when lacks_location(p_location_type, p_location) then 'VALIDATION_ERROR'
    when not coalesce(p_service.is_active and p_calendar.is_active, false) then 'NOT_FOUND'
    when p_location_type <> all (p_service.location_types)
      or lacks_location(coalesce(p_location_type, p_service.location_types[1]), p_location)
      then 'VALIDATION_ERROR'
    when p_service.instructor_id = p_student then 'NOT_ALLOWED'
    when p_minutes <> all (p_service.durations_minutes) then 'DURATION_NOT_OFFERED'
    when p_start < p_now + make_interval(mins => p_calendar.min_advance_minutes) then 'TOO_SOON'
    when p_start > p_now + booking_horizon() then 'TOO_FAR_AHEAD'
  end;
end
$$;

-- Whether a lesson of this type needs an address or a meeting point that it does not have. At the
-- instructor's place it has the instructor's address.
create function lacks_location(p_location_type text, p_location text) returns boolean
language sql immutable as $$
  select p_location_type <> 'instructor' and btrim(p_location) = ''
$$;

-- The detail of a refusal from lesson_refusal.
create function lesson_refusal_detail(
  p_refusal text, p_service service, p_calendar calendar, p_location_type text
) returns jsonb
language sql stable as $$
  select case p_refusal
    when 'VALIDATION_ERROR' then case
      when p_location_type <> all (p_service.location_types) then
        jsonb_build_object('field', 'location_type', 'offered', p_service.location_types)
      else jsonb_build_object(
        'field', 'location',
        'location_type', coalesce(p_location_type, p_service.location_types[1]))
      end
    when 'DURATION_NOT_OFFERED' then
      jsonb_build_object('durations_minutes', p_service.durations_minutes)
    when 'TOO_SOON' then
      jsonb_build_object('min_advance_minutes', p_calendar.min_advance_minutes)
  end
$$;

-- The time that a lesson would block on its instructor's calendar: itself and the travel after it.
create function blocked_time(p_during tstzrange, p_calendar calendar) returns tstzrange
language plpgsql immutable as $$
begin
  return tstzrange(
    lower(p_during), upper(p_during) + make_interval(mins => p_calendar.travel_buffer_minutes));
end
$$;

-- A booking that conflicts with a lesson, and the refusal that it causes. The student's own lessons
-- come first. Holds that the lesson replaces come last: expired ones, and the student's own with
-- this instructor. They cause no refusal, but must be released before the constraints allow another
-- booking. `p_except` is the booking that is being moved. One statement, so that it sees one
-- snapshot.
create function conflicting_booking(
  p_instructor uuid, p_student uuid, p_during tstzrange, p_blocked tstzrange, p_now timestamptz,
  p_except uuid default null
) returns table (id uuid, refusal text, is_replaced boolean)
language sql stable as $$
  select c.id, case when not c.is_replaced then c.refusal end, c.is_replaced
  from (
    select b.id, 'STUDENT_BUSY' as refusal,
           b.state = 'held'
             and (b.held_until <= p_now or b.instructor_id = p_instructor) as is_replaced
    from booking b
    where b.student_id = p_student and b.during && p_during and b.occupies_time
    union all
    select b.id, 'SLOT_TAKEN',
           b.state = 'held' and (b.held_until <= p_now or b.student_id = p_student)
    from booking b
    where b.instructor_id = p_instructor and b.blocked && p_blocked and b.occupies_time
  ) as c
  where c.id is distinct from p_except
  order by c.is_replaced, c.refusal desc
  limit 1
$$;

-- A student's live holds of later lessons.
create function live_holds(p_student uuid, p_now timestamptz) returns setof booking
language sql stable as $$
  select b.* from booking b
  where b.student_id = p_student and b.during && tstzrange(p_now, null) and b.occupies_time
    and b.state = 'held' and b.held_until > p_now
$$;

-- The holds that a lesson replaces: those of `conflicting_booking` and, if the lesson is itself a
-- hold, the student's other one with this instructor.
create function replaced_holds(
  p_instructor uuid, p_student uuid, p_during tstzrange, p_blocked tstzrange, p_is_hold boolean,
  p_now timestamptz
) returns setof booking
language sql stable as $$
  select b.* from booking b
  where b.instructor_id = p_instructor and b.blocked && p_blocked and b.occupies_time
    and b.state = 'held' and (b.held_until <= p_now or b.student_id = p_student)
  union
  select b.* from booking b
  where b.student_id = p_student and b.during && p_during and b.occupies_time
    and b.state = 'held' and (b.held_until <= p_now or b.instructor_id = p_instructor)
  union
  select b.* from live_holds(p_student, p_now) as b
  where p_is_hold and b.instructor_id = p_instructor
$$;

-- The rules that staff must override to book this lesson. A lesson in the past, or later than
-- calendars are kept, cannot be booked at all.
create function necessary_override(p_calendar calendar, p_during tstzrange, p_now timestamptz)
returns text[]
language sql stable as $$
  select array_remove(array[
    case when not exists (
      select from availability a
      where a.instructor_id = p_calendar.instructor_id and a.during @> p_during
    ) then 'availability' end,
    case when exists (
      select from blackout x
      where x.instructor_id = p_calendar.instructor_id
        and x.day = (lower(p_during) at time zone p_calendar.time_zone)::date
    ) then 'blackout' end,
    case when lower(p_during) < p_now + make_interval(mins => p_calendar.min_advance_minutes)
      and lower(p_during) >= p_now then 'notice' end,
    case when lower(p_during) > p_now + booking_horizon()
      and lower(p_during) <= p_now + make_interval(days => availability_horizon_days())
      then 'horizon' end
  ], null)
$$;

-- The refusal of lesson_refusal, or null if staff overrides its rule.
create function refusal_after_override(
  p_refusal text, p_override text[], p_start timestamptz, p_now timestamptz
) returns text
language sql stable as $$
  select case
    when p_refusal = 'TOO_SOON' and 'notice' = any (p_override) and p_start >= p_now then null
    when p_refusal = 'TOO_FAR_AHEAD' and 'horizon' = any (p_override)
      and p_start <= p_now + make_interval(days => availability_horizon_days()) then null
    else p_refusal
  end
$$;

-- Whether a lesson lies inside availability, outside blackouts and within one local day.
-- Availability ranges are merged, so a single one contains the lesson or none does. With
-- `availability` or `blackout` in p_override, that rule is not checked.
create function is_available(
  p_instructor uuid, p_during tstzrange, p_zone text, p_override text[] default '{}'
) returns boolean
language plpgsql stable as $$
declare
  v_day date := (lower(p_during) at time zone p_zone)::date;
begin
  if v_day <> ((upper(p_during) - interval '1 microsecond') at time zone p_zone)::date then
    return false;
  end if;
  if p_override <> '{}' then
    return ('availability' = any (p_override) or exists (
        select from availability a where a.instructor_id = p_instructor and a.during @> p_during
      )) and ('blackout' = any (p_override) or not exists (
        select from blackout x where x.instructor_id = p_instructor and x.day = v_day
      ));
  end if;
  perform from availability a
  where a.instructor_id = p_instructor and a.during @> p_during
    and not exists (
      select from blackout x where x.instructor_id = p_instructor and x.day = v_day
    );
  return found;
end
$$;

-- The detail of SLOT_TAKEN and OUTSIDE_AVAILABILITY: the calendar's version and the student's own
-- lessons around that time. Read after the conflict was detected, so the version includes it.
create function unavailable_detail(
  p_instructor uuid, p_student uuid, p_during tstzrange, p_now timestamptz
) returns jsonb
language plpgsql stable as $$
declare
  v_window tstzrange := tstzrange(
    lower(p_during) - interval '1 day', upper(p_during) + interval '1 day');
begin
  return (
    select jsonb_build_object(
      'instructor_id', c.instructor_id, 'version', c.version,
      'busy', coalesce((
        select jsonb_agg(
                 jsonb_build_array(wire_instant(lower(b.during)), wire_instant(upper(b.during))))
        from booking b
        where b.student_id = p_student and b.during && v_window and b.occupies_time
          and (b.state <> 'held' or b.held_until > p_now)
      ), '[]')
    )
    from calendar c where c.instructor_id = p_instructor
  );
end
$$;

-- The detail of a refusal of a new or a moved lesson. p_conflict: the booking in its way.
create function refusal_detail(
  p_refusal text, p_conflict uuid, p_student uuid, p_service service, p_calendar calendar,
  p_during tstzrange, p_location_type text, p_now timestamptz
) returns jsonb
language plpgsql stable as $$
begin
  return case
    when p_refusal = 'STUDENT_BUSY' then jsonb_build_object('booking_id', p_conflict)
    when p_refusal in ('SLOT_TAKEN', 'OUTSIDE_AVAILABILITY') then
      unavailable_detail(p_calendar.instructor_id, p_student, p_during, p_now)
    else lesson_refusal_detail(p_refusal, p_service, p_calendar, p_location_type)
  end;
end
$$;

-- The time that a booking takes from the board: its own, the travel time after it (as booked), and
-- the travel time before it (by the current setting). free_and_held subtracts the same.
create function busy_time(p_during tstzrange, p_blocked tstzrange, p_calendar calendar)
returns tstzrange
language plpgsql immutable as $$
begin
  return tstzrange(
    lower(p_during) - make_interval(mins => p_calendar.travel_buffer_minutes), upper(p_blocked));
end
$$;

-- The local dates of the board that a booking affects.
create function board_dates(p_during tstzrange, p_blocked tstzrange, p_calendar calendar)
returns date[]
language plpgsql immutable as $$
begin
  return local_dates(busy_time(p_during, p_blocked, p_calendar), p_calendar.time_zone);
end
$$;

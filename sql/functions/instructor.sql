-- Changes of an instructor's profile or services, under the lock of the calendar.

-- Updates a profile and its calendar's settings; null leaves a value unchanged. A new travel buffer
-- alters every board day on which time before a lesson is freed or blocked, in the past as far back
-- as a board that includes today can start. A new minimum notice alters no board day, but it makes
-- a step so that watchers learn of it. availability_version stays, so no concurrent edit conflicts.
-- Without an address, services are no longer offered at the instructor's place. Null: a service
-- would then be offered nowhere, so nothing was changed.
create function update_instructor(
  p_instructor uuid, p_headline text, p_bio text, p_years integer, p_areas text[],
  p_address text, p_notice integer, p_buffer integer, p_free_cancel integer, p_now timestamptz
) returns bigint
language plpgsql volatile as $$
declare
  v_old   calendar;
  v_new   calendar;
  v_dates date[] := '{}';
begin
  perform from calendar c where c.instructor_id = p_instructor for no key update;
  select c.* into strict v_old from calendar c where c.instructor_id = p_instructor;
  if p_address = '' then
    perform from service s
    where s.instructor_id = p_instructor and s.is_active and s.location_types = '{instructor}';
    if found then
      return null;
    end if;
    update service s set location_types = array_remove(s.location_types, 'instructor')
    where s.instructor_id = p_instructor and 'instructor' = any (s.location_types)
      and s.location_types <> '{instructor}';
  end if;
  update instructor i
  set headline = coalesce(p_headline, i.headline), bio = coalesce(p_bio, i.bio),
      years_experience = coalesce(p_years, i.years_experience),
      teaching_address = coalesce(p_address, i.teaching_address)
  where i.id = p_instructor;
  if p_areas is not null then
    delete from instructor_area x where x.instructor_id = p_instructor and x.area <> all (p_areas);
    insert into instructor_area (instructor_id, area)
    select p_instructor, unnest(p_areas)
    on conflict do nothing;
  end if;
  update calendar c
  set min_advance_minutes = coalesce(p_notice, c.min_advance_minutes),
      travel_buffer_minutes = coalesce(p_buffer, c.travel_buffer_minutes),
      free_cancel_hours = coalesce(p_free_cancel, c.free_cancel_hours)
  where c.instructor_id = p_instructor
  returning c.* into v_new;
  if v_new.travel_buffer_minutes <> v_old.travel_buffer_minutes then
    v_dates := array(
      select distinct day
      from booking b,
           unnest(local_dates(
             tstzrange(
               lower(b.during) - make_interval(
                 mins => greatest(v_old.travel_buffer_minutes, v_new.travel_buffer_minutes)),
               lower(b.during)),
             v_new.time_zone)) as day
      where b.instructor_id = p_instructor and lower(b.during) > p_now - interval '35 days'
        and b.occupies_time
    );
  end if;
  if (v_new.travel_buffer_minutes, v_new.min_advance_minutes)
     <> (v_old.travel_buffer_minutes, v_old.min_advance_minutes) then
    perform forget_next_start(p_instructor);
  end if;
  if v_new.travel_buffer_minutes <> v_old.travel_buffer_minutes then
    v_new.version := step(p_instructor, v_dates);
  end if;
  -- A separate step: one without days and events makes watchers reload the board.
  if v_new.min_advance_minutes <> v_old.min_advance_minutes then
    v_new.version := step(p_instructor, '{}');
  end if;
  return v_new.version;
end
$$;

-- Sets whether an instructor accepts bookings. This alters every board day, so the step has no days
-- and makes watchers reload the board. Null: nothing changed.
create function set_teaching(p_instructor uuid, p_teaches boolean) returns bigint
language plpgsql volatile as $$
declare
  v_version bigint;
begin
  perform from calendar c where c.instructor_id = p_instructor for no key update;
  update calendar c set is_active = p_teaches
  where c.instructor_id = p_instructor and c.is_active <> p_teaches
  returning c.version into v_version;
  if found then
    perform forget_next_start(p_instructor);
    v_version := step(p_instructor, '{}');
  end if;
  return v_version;
end
$$;

-- The lengths on offer. Cached answers about public availability depend on them.
create function offered_lengths(p_instructor uuid) returns integer[]
language sql stable as $$
  select coalesce(array_agg(distinct length order by length), '{}')
  from service s, unnest(s.durations_minutes) as length
  where s.instructor_id = p_instructor and s.is_active
$$;

-- To be called after a change of services, under the lock of the calendar. If the lengths on offer
-- differ from p_before, it makes a step, which drops cached answers and makes watchers reload the
-- board.
create function after_service_change(p_instructor uuid, p_before integer[]) returns void
language plpgsql volatile as $$
begin
  perform sync_next_starts(p_instructor);
  if offered_lengths(p_instructor) <> p_before then
    perform step(p_instructor, '{}');
  end if;
end
$$;

-- Withdraws a service. Under the calendar's lock no booking of it can be in progress. False: there
-- is no such active service.
create function withdraw_service(p_instructor uuid, p_service uuid) returns boolean
language plpgsql volatile as $$
declare
  v_lengths integer[];
begin
  perform from calendar c where c.instructor_id = p_instructor for no key update;
  v_lengths := offered_lengths(p_instructor);
  update service s set is_active = false
  where s.id = p_service and s.instructor_id = p_instructor and s.is_active;
  if not found then
    return false;
  end if;
  perform after_service_change(p_instructor, v_lengths);
  return true;
end
$$;

-- Whether the instructor can teach at these location types: lessons at the instructor's own place
-- need an address.
create function can_teach_at(p_instructor uuid, p_location_types text[]) returns boolean
language sql stable as $$
  select 'instructor' <> all (p_location_types) or exists (
    select from instructor i where i.id = p_instructor and i.teaching_address <> ''
  )
$$;

-- Adds a service. p_location_types null: all that are possible. Withdrawn services of the same
-- subject are deleted unless they were booked. No row: the catalog has no such service, the
-- instructor offers it already, or the location types are not possible.
create function insert_service(
  p_instructor uuid, p_catalog_service text, p_description text, p_rate integer,
  p_durations integer[], p_location_types text[], p_levels text[], p_audiences text[]
) returns setof service
language plpgsql volatile as $$
declare
  v_location_types text[] := p_location_types;
  v_lengths        integer[];
begin
  perform from calendar c where c.instructor_id = p_instructor for no key update;
  v_lengths := offered_lengths(p_instructor);
  if v_location_types is null then
    v_location_types := '{student,instructor,public}';
    if not can_teach_at(p_instructor, v_location_types) then
      v_location_types := '{student,public}';
    end if;
  end if;
  return query
    insert into service (
      instructor_id, catalog_service, description, hourly_rate_cents, durations_minutes,
      location_types, levels, audiences
    )
    select p_instructor, k.slug, p_description, p_rate, p_durations,
           v_location_types, p_levels, p_audiences
    from catalog_service k
    where k.slug = p_catalog_service and can_teach_at(p_instructor, v_location_types)
    on conflict (instructor_id, catalog_service) where is_active do nothing
    returning service.*;
  if found then
    delete from service s
    where s.instructor_id = p_instructor and s.catalog_service = p_catalog_service
      and not s.is_active and not exists (select from booking b where b.service_id = s.id);
    perform after_service_change(p_instructor, v_lengths);
  end if;
end
$$;

-- Updates a service; null leaves a value unchanged. p_active true: also one that was withdrawn,
-- which is then offered again. Existing bookings keep their price, length and place. No row: there
-- is no such service, its subject is offered already, or the location types are not possible.
create function update_service(
  p_instructor uuid, p_service uuid, p_description text, p_rate integer, p_durations integer[],
  p_location_types text[], p_levels text[], p_audiences text[], p_active boolean
) returns setof service
language plpgsql volatile as $$
declare
  v_lengths integer[];
begin
  perform from calendar c where c.instructor_id = p_instructor for no key update;
  v_lengths := offered_lengths(p_instructor);
  return query
    update service s
    set description = coalesce(p_description, s.description),
        hourly_rate_cents = coalesce(p_rate, s.hourly_rate_cents),
        durations_minutes = coalesce(p_durations, s.durations_minutes),
        location_types = coalesce(p_location_types, s.location_types),
        levels = coalesce(p_levels, s.levels), audiences = coalesce(p_audiences, s.audiences),
        is_active = true
    where s.id = p_service and s.instructor_id = p_instructor
      and can_teach_at(p_instructor, coalesce(p_location_types, s.location_types))
      and (s.is_active or p_active and not exists (
        select from service other
        where other.instructor_id = p_instructor and other.is_active
          and other.catalog_service = s.catalog_service
      ))
    returning s.*;
  perform after_service_change(p_instructor, v_lengths);
end
$$;

-- The next start of each calendar and lesson length, stored so that lists can be ordered by it. SQL
-- reports free time and whether a start is still free; app/availability/start_times.py lays out the
-- possible starts.

-- The ranges long enough for a lesson of p_minutes, as [start, end, start, end, …].
create function edges(p_free tstzmultirange, p_minutes integer) returns timestamptz[]
language plpgsql stable strict as $$
begin
  return array(
    select edge
    from unnest(p_free) as r, lateral (values (lower(r)), (upper(r))) as e (edge)
    where upper(r) - lower(r) >= make_interval(mins => p_minutes)
    order by edge
  );
end
$$;

-- Invalidates the stored next starts of a calendar. Every writer that may free or open time calls
-- this in its own transaction, under the calendar's lock.
create function forget_next_start(p_instructor uuid) returns void
language plpgsql volatile as $$
begin
  update next_start n
  set start = '-infinity', valid_until = '-infinity', revision = nextval('next_start_revision')
  where n.instructor_id = p_instructor;
end
$$;

-- Keeps one row per lesson length on offer; called after services have changed. The lock is a
-- separate statement, so that the next one sees services committed by the previous holder of the
-- lock.
create function offer_next_start(p_instructor uuid) returns void
language plpgsql volatile as $$
begin
  perform from calendar c where c.instructor_id = p_instructor for no key update;
  delete from next_start n
  where n.instructor_id = p_instructor and not exists (
    select from service s
    where s.instructor_id = p_instructor and s.is_active and n.minutes = any (s.durations_minutes)
  );
  insert into next_start (instructor_id, minutes)
  select distinct p_instructor, length
  from service s, unnest(s.durations_minutes) as length
  where s.instructor_id = p_instructor and s.is_active
  on conflict (instructor_id, minutes) do nothing;
end
$$;

-- Whether the stored next start can still be booked: no booking occupies it, and the minimum notice
-- allows it. Since the stored start is a lower bound, it is then exact.
create function is_still_free(
  p_instructor uuid, p_start timestamptz, p_minutes integer, p_now timestamptz
) returns boolean
language plpgsql stable strict set plan_cache_mode = force_generic_plan as $$
declare
  v_during tstzrange;
  v_notice interval;
  v_buffer interval;
  v_zone   text;
begin
  if not isfinite(p_start) then
    return false;
  end if;
  select make_interval(mins => c.min_advance_minutes),
         make_interval(mins => c.travel_buffer_minutes), c.time_zone
  into v_notice, v_buffer, v_zone
  from calendar c where c.instructor_id = p_instructor and c.is_active;
  if not found or p_start < p_now + v_notice then
    return false;
  end if;
  v_during := tstzrange(p_start, p_start + make_interval(mins => p_minutes));
  perform from booking b
  where b.instructor_id = p_instructor and b.occupies_time
    and b.blocked && tstzrange(lower(v_during), upper(v_during) + v_buffer);
  return not found and is_available(p_instructor, v_during, v_zone);
end
$$;

-- The services that match a search. Each of p_words must occur in the service's name, its category,
-- or the instructor's name or headline; null and '{}' match everything. Inlined into its caller.
create function matching_services(p_words text[], p_category text, p_service text)
returns table (id uuid, instructor_id uuid, minutes integer)
language sql stable as $$
  select s.id, s.instructor_id, s.card_minutes
  from service s
  join catalog_service k on k.slug = s.catalog_service
  where s.is_active
    and (p_category is null or k.category = p_category)
    and (p_service is null or s.catalog_service = p_service)
    and (p_words = '{}' or not exists (
      select from unnest(p_words) as word
      where strpos(lower(concat_ws(' ',
        k.name,
        (select g.name from category g where g.slug = k.category),
        (select a.full_name from account a where a.id = s.instructor_id),
        (select i.headline from instructor i where i.id = s.instructor_id)
      )), word) = 0
    ))
$$;

-- Calendars with matching services, ordered by the lower bound of their next start, each with the
-- length on the card of a matching service and the first such service. Uses a custom plan: whether
-- to scan in order or to select the services first depends on the search. A word that does not
-- occur in the catalog must match instructors; if they are few, only their calendars are read.
create function free_next(p_words text[], p_category text, p_service text, p_limit integer)
returns table (instructor_id uuid, minutes integer, service_id uuid, start timestamptz)
language plpgsql stable set plan_cache_mode = force_custom_plan as $$
declare
  v_names text[] := array(
    select word from unnest(p_words) as word
    where not exists (
      select from catalog_service k join category g on g.slug = k.category
      where strpos(lower(k.name), word) > 0 or strpos(lower(g.name), word) > 0
    )
  );
  v_only  uuid[];  -- null: any instructor
begin
  if v_names <> '{}' then
    v_only := array(
      select i.id from instructor i join account a on a.id = i.id
      where not exists (
        select from unnest(v_names) as word
        where strpos(lower(concat_ws(' ', a.full_name, i.headline)), word) = 0
      )
      limit 501
    );
    if cardinality(v_only) > 500 then
      v_only := null;
    end if;
  end if;
  return query
    select page.instructor_id, page.minutes,
           (select s.id from matching_services(p_words, p_category, p_service) as s
            where s.instructor_id = page.instructor_id and s.minutes = page.minutes
            order by s.id limit 1),
           page.start
    from (
      select n.instructor_id, n.minutes, n.start
      from next_start n
      join calendar c on c.instructor_id = n.instructor_id and c.is_active
      where (v_only is null or n.instructor_id = any (v_only))
        and exists (
          select from matching_services(p_words, p_category, p_service) as s
          where s.instructor_id = n.instructor_id and s.minutes = n.minutes
        )
      order by n.start, n.instructor_id, n.minutes
      limit p_limit
    ) as page
    order by page.start, page.instructor_id, page.minutes;
end
$$;

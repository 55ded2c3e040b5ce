-- Search results. The functions use custom plans, because one plan for all combinations of criteria
-- would read every service. app/search/search.py calls them.

-- A query for all of these words, each as written or by its stem.
create function search_words(p_words text[]) returns tsquery
language plpgsql stable as $$
declare
  v_word  text;
  v_query tsquery;
  v_all   tsquery;
begin
  foreach v_word in array p_words loop
    v_query := plainto_tsquery('simple', unaccent(v_word))
               || plainto_tsquery('english', unaccent(v_word));
    if numnode(v_query) > 0 then
      v_all := case when v_all is null then v_query else v_all && v_query end;
    end if;
  end loop;
  return v_all;
end
$$;

-- The services that match all criteria except the time; null matches everything. `minutes` is the
-- requested length, or the shortest on offer. Without levels or audiences, a service is for
-- everyone; an empty string among p_audiences leaves those out. Inlined into its callers, which
-- leave out inactive calendars.
create function matching_offers(
  p_services text[], p_areas text[], p_min integer, p_max integer, p_minutes integer,
  p_level text, p_audiences text[], p_words tsquery
) returns table (id uuid, instructor_id uuid, minutes integer, hourly_rate_cents integer)
language sql stable as $$
  select s.id, s.instructor_id, coalesce(p_minutes, s.durations_minutes[1]), s.hourly_rate_cents
  from service s
  where s.is_active
    and (p_services is null or s.catalog_service = any (p_services))
    and (p_min is null or s.hourly_rate_cents >= p_min)
    and (p_max is null or s.hourly_rate_cents <= p_max)
    and (p_minutes is null or p_minutes = any (s.durations_minutes))
    and (p_level is null or s.levels = '{}' or p_level = any (s.levels))
    and (p_audiences is null or s.audiences && p_audiences
         or s.audiences = '{}' and '' <> all (p_audiences))
    and (p_words is null or s.document @@ p_words)
    and (p_areas is null or exists (
      select from instructor_area x
      where x.instructor_id = s.instructor_id and x.area = any (p_areas)
    ))
$$;

-- A page of matching services. p_sort is `soonest`, `price` or `newest`; the p_after parameters are
-- the keys of the last service on the previous page. `start` is the lower bound of the next start
-- (functions/next_start.sql). With `soonest`, services are in the order of the index of the bounds:
-- `start`, instructor and id. Services without a start until p_latest come last; their `start` is
-- null, and so is p_after_start after one of them.
create function search_page(
  p_services text[], p_areas text[], p_min integer, p_max integer, p_minutes integer,
  p_level text, p_audiences text[], p_words text[], p_sort text, p_after_start timestamptz,
  p_after_rate integer, p_after_instructor uuid, p_after uuid, p_limit integer,
  p_latest timestamptz
) returns table (
  service_id uuid, instructor_id uuid, minutes integer, hourly_rate_cents integer,
  start timestamptz
)
language plpgsql stable set plan_cache_mode = force_custom_plan as $$
declare
  v_words tsquery := search_words(p_words);
  v_rows  integer := 0;
begin
  if p_sort <> 'soonest' then
    return query
      select m.id, m.instructor_id, m.minutes, m.hourly_rate_cents, null::timestamptz
      from matching_offers(p_services, p_areas, p_min, p_max, p_minutes, p_level, p_audiences,
                           v_words) as m
      join calendar c on c.instructor_id = m.instructor_id and c.is_active
      where p_after is null
        or case when p_sort = 'price' then (m.hourly_rate_cents, m.id) > (p_after_rate, p_after)
                else m.id < p_after end
      order by case when p_sort = 'newest' then m.id end desc,
               case when p_sort = 'price' then m.hourly_rate_cents end,
               case when p_sort = 'price' then m.id end
      limit p_limit;
    return;
  end if;
  if p_after is null or p_after_start is not null then
    -- The bound is compared after the limit: a condition on the first column of the index would
    -- make Postgres 18 search all of it for each instructor (skip scan), instead of the primary
    -- key.
    return query
      select page.id, page.instructor_id, page.minutes, page.hourly_rate_cents,
             greatest(page.start, p_latest - interval '1 year')  -- instead of -infinity
      from (
        select m.id, m.instructor_id, m.minutes, m.hourly_rate_cents, n.start
        from matching_offers(p_services, p_areas, p_min, p_max, p_minutes, p_level, p_audiences,
                             v_words) as m
        join calendar c on c.instructor_id = m.instructor_id and c.is_active
        join next_start n on n.instructor_id = m.instructor_id and n.minutes = m.minutes
        -- Time that was freed after the previous page has no bound yet.
        where p_after is null
          or (n.start, n.instructor_id, m.id) > (p_after_start, p_after_instructor, p_after)
          or n.start = '-infinity'
        order by n.start, n.instructor_id, m.id
        limit p_limit
      ) as page
      where page.start <= p_latest;
    get diagnostics v_rows = row_count;
  end if;
  if v_rows < p_limit then
    return query
      select m.id, m.instructor_id, m.minutes, m.hourly_rate_cents, null::timestamptz
      from matching_offers(p_services, p_areas, p_min, p_max, p_minutes, p_level, p_audiences,
                           v_words) as m
      join calendar c on c.instructor_id = m.instructor_id and c.is_active
      join next_start n on n.instructor_id = m.instructor_id and n.minutes = m.minutes
      where n.start > p_latest
        and (p_after is null or p_after_start is not null
             or (n.instructor_id, m.id) > (p_after_instructor, p_after))
      order by n.instructor_id, m.id
      limit p_limit - v_rows;
  end if;
end
$$;

-- The distinct time zones of active calendars, each read by one lookup in an index.
create function calendar_zones() returns table (time_zone text)
language sql stable as $$
  with recursive zone as (
    (select c.time_zone from calendar c where c.is_active order by c.time_zone limit 1)
    union all
    select (
      select c.time_zone from calendar c
      where c.is_active and c.time_zone > zone.time_zone order by c.time_zone limit 1
    )
    from zone where zone.time_zone is not null
  )
  select zone.time_zone from zone where zone.time_zone is not null
$$;

-- The hours of a search in a time zone: from minute p_from to minute p_to of each day.
create function search_hours(
  p_zone text, p_days date[], p_from integer, p_to integer
) returns tstzmultirange
language sql stable as $$
  select coalesce(range_agg(tstzrange(span.start, span.finish))
                    filter (where span.start < span.finish), '{}')
  from unnest(p_days) as day
  cross join lateral (
    select local_or_jump(day + make_interval(mins => p_from), p_zone) as start,
           local_or_jump(day + make_interval(mins => p_to), p_zone) as finish
  ) as span
$$;

-- Matching services whose instructors are available within the hours of a search, booked or not.
-- With `soonest`, a service has a row for each range of availability, in the order of `start`,
-- instructor and id; `start` is when that range begins in the hours, a lower bound of its first
-- start. With `price` and `newest`, it has one row, with the `start` of any range. The p_after
-- parameters are the keys of the row before the first one to return.
create function search_open(
  p_services text[], p_areas text[], p_min integer, p_max integer, p_minutes integer,
  p_level text, p_audiences text[], p_words text[], p_days date[], p_from integer,
  p_to integer, p_sort text, p_after_start timestamptz, p_after_rate integer,
  p_after_instructor uuid, p_after uuid, p_limit integer, p_now timestamptz
) returns table (
  service_id uuid, instructor_id uuid, minutes integer, hourly_rate_cents integer,
  start timestamptz, time_zone text, notice integer, hours tstzmultirange
)
language plpgsql stable set plan_cache_mode = force_custom_plan as $$
declare
  v_words tsquery := search_words(p_words);
  v_zones text[];
  v_hours tstzmultirange[];
  v_span  tstzrange;
begin
  select array_agg(z.time_zone), array_agg(h.hours),
         range_merge(coalesce(range_agg(range_merge(h.hours)), '{}'))
  into v_zones, v_hours, v_span
  from calendar_zones() as z
  cross join lateral search_hours(z.time_zone, p_days, p_from, p_to) as h (hours)
  where not isempty(h.hours);
  if p_sort = 'soonest' and v_words is null
     and (p_services is null or cardinality(p_services) > 10) then
    -- Many services match: read calendars in the order of their hours, until the page is full.
    -- `offset 0` keeps the planner from joining the services first.
    return query
      select m.id, m.instructor_id, m.minutes, m.hourly_rate_cents, open.start, open.time_zone,
             open.notice, open.hours
      from (
        select a.instructor_id, c.time_zone, c.min_advance_minutes::integer as notice, zone.hours,
               bound.start
        from availability a
        join calendar c on c.instructor_id = a.instructor_id and c.is_active
        join unnest(v_zones, v_hours) as zone (time_zone, hours) on zone.time_zone = c.time_zone
        cross join lateral open_from(a.during, zone.hours, p_now, c.min_advance_minutes)
                           as bound (start)
        where a.during && v_span and bound.start is not null
          and (p_after is null
               or (bound.start, a.instructor_id) >= (p_after_start, p_after_instructor))
        order by bound.start, a.instructor_id
        offset 0
      ) as open
      join matching_offers(p_services, p_areas, p_min, p_max, p_minutes, p_level, p_audiences,
                           v_words) as m on m.instructor_id = open.instructor_id
      where p_after is null
        or (open.start, open.instructor_id, m.id) > (p_after_start, p_after_instructor, p_after)
      order by open.start, open.instructor_id, m.id
      limit p_limit;
    return;
  end if;
  if p_sort <> 'soonest' then
    -- Read services in the order of the results, until the page is full. `offset 0` keeps the
    -- planner from reading the availability of all of them.
    return query
      select offer.id, offer.instructor_id, offer.minutes, offer.hourly_rate_cents, first.start,
             offer.time_zone, offer.notice, offer.hours
      from (
        select m.*, c.time_zone, c.min_advance_minutes::integer as notice, zone.hours
        from matching_offers(p_services, p_areas, p_min, p_max, p_minutes, p_level, p_audiences,
                             v_words) as m
        join calendar c on c.instructor_id = m.instructor_id and c.is_active
        join unnest(v_zones, v_hours) as zone (time_zone, hours) on zone.time_zone = c.time_zone
        where p_after is null
          or case when p_sort = 'price' then (m.hourly_rate_cents, m.id) > (p_after_rate, p_after)
                  else m.id < p_after end
        order by case when p_sort = 'newest' then m.id end desc,
                 case when p_sort = 'price' then m.hourly_rate_cents end,
                 m.id
        offset 0
      ) as offer
      cross join lateral (
        select bound.start
        from availability a
        cross join lateral open_from(a.during, offer.hours, p_now, offer.notice) as bound (start)
        where a.instructor_id = offer.instructor_id and a.during && v_span
          and bound.start is not null
        limit 1
      ) as first
      order by case when p_sort = 'newest' then offer.id end desc,
               case when p_sort = 'price' then offer.hourly_rate_cents end,
               offer.id
      limit p_limit;
    return;
  end if;
  return query
    select m.id, m.instructor_id, m.minutes, m.hourly_rate_cents, bound.start, c.time_zone,
           c.min_advance_minutes::integer, zone.hours
    from matching_offers(p_services, p_areas, p_min, p_max, p_minutes, p_level, p_audiences,
                         v_words) as m
    -- With one condition on `during`: the planner would take two for independent, and expect too
    -- few rows.
    join availability a on a.instructor_id = m.instructor_id and a.during && v_span
    join calendar c on c.instructor_id = m.instructor_id and c.is_active
    join unnest(v_zones, v_hours) as zone (time_zone, hours) on zone.time_zone = c.time_zone
    cross join lateral open_from(a.during, zone.hours, p_now, c.min_advance_minutes)
                       as bound (start)
    where bound.start is not null
      and (p_after is null
           or (bound.start, m.instructor_id, m.id) > (p_after_start, p_after_instructor, p_after))
    order by bound.start, m.instructor_id, m.id
    limit p_limit;
end
$$;

-- The first instant of a range of availability that is within the hours and after the minimum
-- notice; null if there is none.
create function open_from(
  p_during tstzrange, p_hours tstzmultirange, p_now timestamptz, p_notice integer
) returns timestamptz
language sql stable as $$
  select case when p_during && p_hours then greatest(
    case when p_during @> lower(p_hours) then lower(p_hours)
         else lower(tstzmultirange(p_during) * p_hours) end,
    p_now + make_interval(mins => p_notice))
  end
$$;

-- search_open with the free ranges in these hours that are long enough for a lesson, as edges. Each
-- row of a service has all of them.
create function search_free(
  p_services text[], p_areas text[], p_min integer, p_max integer, p_minutes integer,
  p_level text, p_audiences text[], p_words text[], p_days date[], p_from integer,
  p_to integer, p_sort text, p_after_start timestamptz, p_after_rate integer,
  p_after_instructor uuid, p_after uuid, p_limit integer, p_now timestamptz
) returns table (
  service_id uuid, instructor_id uuid, minutes integer, hourly_rate_cents integer,
  start timestamptz, time_zone text, notice integer, edges timestamptz[]
)
language sql stable as $$
  select page.service_id, page.instructor_id, page.minutes, page.hourly_rate_cents, page.start,
         page.time_zone, page.notice,
         edges(free_time(page.instructor_id, lower(page.hours), upper(page.hours)) * page.hours,
               page.minutes)
  from search_open(p_services, p_areas, p_min, p_max, p_minutes, p_level, p_audiences, p_words,
                   p_days, p_from, p_to, p_sort, p_after_start, p_after_rate,
                   p_after_instructor, p_after, p_limit, p_now) as page
$$;

-- Deletes the searches of visitors beyond the newest; returns their number.
create function trim_search_history(p_visitors uuid[], p_newest integer) returns integer
language plpgsql volatile as $$
declare
  v_deleted integer;
begin
  delete from search_history h
  where h.id = any (array(
    select older.id
    from (select distinct unnest(p_visitors) as id) as visitor
    cross join lateral (
      select x.id from search_history x where x.visitor_id = visitor.id
      order by x.searched_at desc, x.id desc offset p_newest
    ) as older
  ));
  get diagnostics v_deleted = row_count;
  return v_deleted;
end
$$;

-- Adds searches to the log, and to the histories of their visitors. A history has each query once,
-- ignoring case.
create function record_searches(
  p_visitors uuid[], p_guests boolean[], p_queries text[], p_ids uuid[], p_counts integer[],
  p_times timestamptz[], p_newest integer
) returns integer
language plpgsql volatile as $$
begin
  insert into search (id, visitor_id, is_guest, query, results, searched_at)
  select row.id, row.visitor, row.guest, row.query, row.results, row.at
  from unnest(p_ids, p_visitors, p_guests, p_queries, p_counts, p_times)
       as row (id, visitor, guest, query, results, at)
  on conflict do nothing;
  insert into search_history as h (visitor_id, is_guest, query, folded, searched_at)
  select distinct on (row.visitor, lower(row.query))
         row.visitor, row.guest, row.query, lower(row.query), row.at
  from unnest(p_visitors, p_guests, p_queries, p_times) as row (visitor, guest, query, at)
  order by row.visitor, lower(row.query), row.at desc
  on conflict (visitor_id, folded) do update
  set query = excluded.query, searched_at = greatest(h.searched_at, excluded.searched_at);
  return trim_search_history(p_visitors, p_newest);
end
$$;

-- Moves a guest's searches to an account.
create function adopt_searches(p_guest uuid, p_account uuid, p_newest integer) returns integer
language plpgsql volatile as $$
begin
  with moved as (
    delete from search_history g where g.visitor_id = p_guest and g.is_guest
    returning g.query, g.folded, g.searched_at
  )
  insert into search_history as h (visitor_id, is_guest, query, folded, searched_at)
  select p_account, false, m.query, m.folded, m.searched_at from moved m order by m.folded
  on conflict (visitor_id, folded) do update
  set searched_at = greatest(h.searched_at, excluded.searched_at);
  update search s set visitor_id = p_account, is_guest = false
  where s.visitor_id = p_guest and s.is_guest;
  update search_interaction i set visitor_id = p_account, is_guest = false
  where i.visitor_id = p_guest and i.is_guest;
  return trim_search_history(array[p_account], p_newest);
end
$$;

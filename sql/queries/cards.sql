-- The cards of the start page and of search results.

-- name: cards
-- One row per service, with the instructor's board of :days days from its day in :firsts on, or
-- from today on. `days` is null if the caller has this version of the board already: equal versions
-- mean equal boards.
select s.id as service_id, s.instructor_id, a.full_name as name, i.headline,
       array(select r.name from instructor_area x join area r on r.slug = x.area
             where x.instructor_id = s.instructor_id order by r.name) as areas,
       k.name as service_name, s.hourly_rate_cents, card.minutes, s.location_types,
       first.day as first, current.epoch, c.version, c.time_zone, c.min_advance_minutes,
       case
         when card.cached_first = first.day and card.cached_epoch = current.epoch
              and card.cached_version = c.version then null
         else board_days(s.instructor_id,
                         array(select first.day + n from generate_series(0, :days - 1) as n))
       end as days
from unnest(:services::uuid[], :minutes::integer[], :firsts::date[], :cached_firsts::date[],
            :cached_epochs::text[], :cached_versions::bigint[])
       as card (service_id, minutes, first, cached_first, cached_epoch, cached_version)
cross join (select epoch() offset 0) as current (epoch)
-- `limit 1` makes the planner look up each row by its key, even while tables are small.
cross join lateral (select x.* from service x where x.id = card.service_id limit 1) as s
cross join lateral (select x.* from calendar x where x.instructor_id = s.instructor_id limit 1) as c
cross join lateral (select x.* from instructor x where x.id = s.instructor_id limit 1) as i
cross join lateral (select x.full_name from account x where x.id = s.instructor_id limit 1) as a
join catalog_service k on k.slug = s.catalog_service
cross join lateral (
  select greatest((:now::timestamptz at time zone c.time_zone)::date, card.first) as day
) as first;

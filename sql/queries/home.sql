-- What the start page shows beyond the lists of the API.

-- name: teaching_now
-- One line per instructor who can be booked, with the board of the next days: the service that was asked for, else the first they
-- offered. All of `words` must be found in what is taught, its category, the instructor's name or headline. Whoever has set no
-- hours comes last.
with taught as materialized (
  select distinct on (s.instructor_id)
         s.instructor_id, a.full_name as name, i.headline,
         array(select r.name from instructor_area x join area r on r.slug = x.area
               where x.instructor_id = s.instructor_id order by r.name) as areas,
         s.id as service_id, k.name as service_name, s.hourly_rate_cents, s.durations_minutes,
         (:now::timestamptz at time zone c.time_zone)::date as first,
         exists (select from availability v
                 where v.instructor_id = s.instructor_id
                   and v.during && tstzrange(:now, :now + make_interval(days => :days))) as has_hours
  from service s
  join calendar c on c.instructor_id = s.instructor_id and c.is_active
  join instructor i on i.id = s.instructor_id
  join account a on a.id = s.instructor_id
  join catalog_service k on k.slug = s.catalog_service
  join category g on g.slug = k.category
  where s.is_active
    and (:category::text is null or k.category = :category)
    and (:service::text is null or k.slug = :service)
    and not exists (
      select from unnest(:words::text[]) as word
      where strpos(lower(concat_ws(' ', k.name, g.name, a.full_name, i.headline)), word) = 0
    )
  order by s.instructor_id, s.id
), page as materialized (
  select * from taught order by has_hours desc, instructor_id limit :limit
)
select page.instructor_id, page.name, page.headline, page.areas, page.service_id, page.service_name, page.hourly_rate_cents,
       page.durations_minutes, page.first, board.epoch, board.version, board.time_zone, board.min_advance_minutes, board.days
from page, lateral board(page.instructor_id, page.first, :days) as board;

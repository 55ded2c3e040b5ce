-- Similar instructors, on the page of an instructor.

-- name: similar_services
-- Services on the same subject as this one, by other instructors: of the :reach next cheaper and
-- the :reach next more expensive ones, those that share an area and are free before :latest come
-- first, then those free sooner. `start` is a lower bound of the next start.
with this as (
  select s.instructor_id, s.catalog_service, s.hourly_rate_cents
  from service s where s.id = :service_id
), nearby as (
  select near.*
  from this cross join lateral (
    (select s.id, s.instructor_id, s.hourly_rate_cents, s.card_minutes
     from service s
     where s.catalog_service = this.catalog_service and s.is_active
       and s.hourly_rate_cents >= this.hourly_rate_cents
     order by s.hourly_rate_cents, s.id limit :reach)
    union all
    (select s.id, s.instructor_id, s.hourly_rate_cents, s.card_minutes
     from service s
     where s.catalog_service = this.catalog_service and s.is_active
       and s.hourly_rate_cents < this.hourly_rate_cents
     order by s.hourly_rate_cents desc, s.id desc limit :reach)
  ) as near
)
select nearby.id as service_id, nearby.instructor_id, a.full_name as name,
       nearby.hourly_rate_cents, nearby.card_minutes as minutes, c.time_zone,
       array(select r.name from instructor_area x join area r on r.slug = x.area
             where x.instructor_id = nearby.instructor_id order by r.name) as areas
from nearby cross join this
cross join lateral (
  select x.* from calendar x where x.instructor_id = nearby.instructor_id limit 1
) as c
cross join lateral (
  select x.* from next_start x
  where x.instructor_id = nearby.instructor_id and x.minutes = nearby.card_minutes limit 1
) as n
cross join lateral (
  select exists (
    select from instructor_area own
    join instructor_area other on other.area = own.area
    where own.instructor_id = this.instructor_id and other.instructor_id = nearby.instructor_id
  ) as shares_area
) as near
cross join lateral (
  select x.full_name from account x where x.id = nearby.instructor_id limit 1
) as a
where nearby.instructor_id <> this.instructor_id and c.is_active and n.start <= :latest
order by near.shares_area desc, greatest(n.start, :now),
         abs(nearby.hourly_rate_cents - this.hourly_rate_cents), nearby.id
limit :limit;

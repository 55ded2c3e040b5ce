-- The catalog, instructors and their services.

-- name: categories
select slug, name from category order by position, slug;

-- name: catalog_services
select k.slug, k.name, k.category
from catalog_service k join category c on c.slug = k.category
where :category::text is null or k.category = :category
order by c.position, k.name, k.slug;

-- name: areas_by_slug
select slug, name, borough from area where slug = any(:slugs);

-- name: areas
-- Each borough, followed by its neighborhoods.
select slug, name, borough
from area
order by array_position(array['Manhattan', 'Brooklyn', 'Queens', 'Bronx'], borough),
         name <> borough, name;

-- name: areas_named
-- Each name with the slug of its area, or null.
select area_name.name, a.slug
from unnest(:names::text[]) as area_name (name)
left join area a on a.slug = area_name.name or lower(a.name) = lower(area_name.name);

-- name: instructor
-- A profile with the active services.
select i.id, a.full_name as name, i.headline, i.bio, i.years_experience,
       array(
         select x.area from instructor_area x where x.instructor_id = i.id order by x.area
       ) as areas,
       i.teaching_address::text, c.time_zone, c.min_advance_minutes, c.travel_buffer_minutes,
       c.free_cancel_hours, c.is_active,
       coalesce((
         select jsonb_agg(jsonb_build_object(
                  'id', s.id, 'name', k.name, 'catalog_service', s.catalog_service,
                  'description', s.description, 'hourly_rate_cents', s.hourly_rate_cents,
                  'durations_minutes', s.durations_minutes, 'location_types', s.location_types,
                  'levels', s.levels, 'audiences', s.audiences
                ) order by s.id)
         from service s join catalog_service k on k.slug = s.catalog_service
         where s.instructor_id = i.id and s.is_active
       ), '[]') as service_rows
from instructor i
join account a on a.id = i.id
join calendar c on c.instructor_id = i.id
where i.id = :id;

-- name: update_instructor
select update_instructor(:id, :headline, :bio, :years_experience, :areas, :teaching_address,
                         :min_advance_minutes, :travel_buffer_minutes, :free_cancel_hours, :now);

-- name: set_teaching
select set_teaching(:id, :teaches);

-- name: services_of
-- An instructor's active services.
select s.id, k.name, s.catalog_service, s.description, s.hourly_rate_cents, s.durations_minutes,
       s.location_types, s.levels, s.audiences
from service s join catalog_service k on k.slug = s.catalog_service
where s.instructor_id = :instructor_id and s.is_active and (:after::uuid is null or s.id > :after)
order by s.id
limit :limit;

-- name: insert_service
-- No row: the catalog has no such service, the instructor offers it already, or has no address for
-- lessons at their place.
select s.id, k.name, s.catalog_service, s.description, s.hourly_rate_cents, s.durations_minutes,
       s.location_types, s.levels, s.audiences
from insert_service(:instructor_id, :catalog_service, :description, :hourly_rate_cents,
                    :durations_minutes, :location_types, :levels, :audiences) as s
join catalog_service k on k.slug = s.catalog_service;

-- name: instructor_of_service
select instructor_id from service where id = :id;

-- name: is_in_catalog
select exists (select from catalog_service where slug = :slug);

-- name: can_teach_at
select can_teach_at(:instructor_id, :location_types);

-- name: service_state
select s.is_active, s.location_types
from service s where s.id = :id and s.instructor_id = :instructor_id;

-- name: update_service
-- Null leaves a value unchanged. No row: there is no such service, it is withdrawn and stays so,
-- its subject is offered already, or there is no address for lessons at the instructor's place.
select s.id, k.name, s.catalog_service, s.description, s.hourly_rate_cents, s.durations_minutes,
       s.location_types, s.levels, s.audiences
from update_service(:instructor_id, :id, :description, :hourly_rate_cents, :durations_minutes,
                    :location_types, :levels, :audiences, :active) as s
join catalog_service k on k.slug = s.catalog_service;

-- name: withdraw_service
select withdraw_service(:instructor_id, :id);

-- name: withdrawn_services
-- The withdrawn services whose subject the instructor does not offer now: the latest of each.
select distinct on (k.name, s.catalog_service)
       s.id, k.name, s.catalog_service, s.description, s.hourly_rate_cents, s.durations_minutes,
       s.location_types, s.levels, s.audiences
from service s join catalog_service k on k.slug = s.catalog_service
where s.instructor_id = :instructor_id and not s.is_active and not exists (
  select from service other
  where other.instructor_id = :instructor_id and other.is_active
    and other.catalog_service = s.catalog_service
)
order by k.name, s.catalog_service, s.id desc;

-- name: listed_services
-- Every catalog service with its other names, and how many instructors offer it: counted up to
-- :max_instructors, so that a common one costs no more.
select k.slug, k.name, k.category, coalesce(t.terms, '{}') as terms, n.instructors
from catalog_service k
join category c on c.slug = k.category
left join (
  select catalog_service, array_agg(term order by term) as terms
  from catalog_term group by catalog_service
) as t on t.catalog_service = k.slug
cross join lateral (
  select count(*)::integer as instructors
  from (
    select from service s
    cross join lateral (
      select from calendar x where x.instructor_id = s.instructor_id and x.is_active limit 1
    ) as teaching
    where s.catalog_service = k.slug and s.is_active
    order by s.catalog_service, s.id  -- the order of an index
    limit :max_instructors
  ) as offers
) as n
order by c.position, k.name, k.slug;

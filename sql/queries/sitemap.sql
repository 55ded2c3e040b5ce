-- The sitemap of the instructors.

-- name: sitemap_parts
-- The last id of each full part of :size instructors, of at most :max_parts parts.
with recursive part as (
  select null::uuid as last, 0 as number
  union all
  select (
    select c.instructor_id from calendar c
    where c.instructor_id > coalesce(part.last, '00000000-0000-0000-0000-000000000000')
    order by c.instructor_id offset :size - 1 limit 1
  ), part.number + 1
  from part
  where part.number < :max_parts::integer - 1 and (part.number = 0 or part.last is not null)
)
select part.last as id from part where part.last is not null order by part.number;

-- name: sitemap_instructors
-- One part: the public ones of :limit instructors after this id.
select c.instructor_id
from (
  select x.instructor_id, x.is_active from calendar x
  where x.instructor_id > :after order by x.instructor_id limit :limit
) as c
where c.is_active
order by c.instructor_id;

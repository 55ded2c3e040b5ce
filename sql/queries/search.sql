-- Search: its vocabulary, results and history.

-- name: search_vocabulary
-- Names that people use for services, categories and areas; the official names come first.
select 'service' as kind, t.term, k.slug, k.name, k.category as "group"
from catalog_term t join catalog_service k on k.slug = t.catalog_service
union all
select 'category', t.term, c.slug, c.name, c.slug
from category_term t join category c on c.slug = t.category
union all
select 'area', t.term, a.slug, a.name, a.borough
from area_term t join area a on a.slug = t.area
order by 1, 2, 3;

-- name: search_page
-- One page of services that match all criteria, with the lower bounds of their next starts.
select page.service_id, page.instructor_id, a.full_name as instructor_name,
       k.name as service_name, s.catalog_service, page.hourly_rate_cents,
       array(
         select x.area from instructor_area x
         where x.instructor_id = page.instructor_id order by x.area
       ) as areas,
       page.minutes, page.start
from search_page(:services, :areas, :min_price, :max_price, :minutes, :level, :audiences, :words,
                 :sort, :after_start, :after_rate, :after_instructor, :after_id, :limit,
                 :latest) as page
cross join lateral (select x.* from service x where x.id = page.service_id limit 1) as s
cross join lateral (
  select x.full_name from account x where x.id = page.instructor_id limit 1
) as a
join catalog_service k on k.slug = s.catalog_service;

-- name: search_free
-- One page of services whose instructors may be free within the hours of the search, with their
-- free ranges in these hours.
select page.service_id, page.instructor_id, a.full_name as instructor_name,
       k.name as service_name, s.catalog_service, page.hourly_rate_cents,
       array(
         select x.area from instructor_area x
         where x.instructor_id = page.instructor_id order by x.area
       ) as areas,
       page.minutes, page.start, page.time_zone, page.notice, page.edges
from search_free(:services, :areas, :min_price, :max_price, :minutes, :level, :audiences, :words,
                 :days, :from_minute, :to_minute, :sort, :after_start, :after_rate,
                 :after_instructor, :after_id, :limit, :now) as page
cross join lateral (select x.* from service x where x.id = page.service_id limit 1) as s
cross join lateral (
  select x.full_name from account x where x.id = page.instructor_id limit 1
) as a
join catalog_service k on k.slug = s.catalog_service;

-- name: record_searches
select record_searches(:visitor_ids, :are_guests, :queries, :search_ids, :counts, :times, :newest);

-- name: record_interactions
insert into search_interaction (search_id, visitor_id, is_guest, instructor_id, kind, at)
select * from unnest(:search_ids::uuid[], :visitor_ids::uuid[], :are_guests::boolean[],
                     :instructor_ids::uuid[], :kinds::text[], :times::timestamptz[]);

-- name: record_booked_results
-- Credits each booking to the search in which the visitor last clicked a result of this instructor,
-- if that was within a day and is among their newest 500 interactions. A repeated request does not
-- credit it again.
insert into search_interaction (search_id, visitor_id, is_guest, instructor_id, kind, at)
select last.search_id, row.visitor_id, false, row.instructor_id, 'booked', min(row.at)
from unnest(:visitor_ids::uuid[], :instructor_ids::uuid[], :times::timestamptz[])
       as row (visitor_id, instructor_id, at)
cross join lateral (
  select recent.search_id, recent.kind, recent.at
  from (
    select i.* from search_interaction i
    where i.visitor_id = row.visitor_id order by i.id desc limit 500
  ) as recent
  where recent.instructor_id = row.instructor_id and recent.kind in ('clicked', 'booked')
  order by recent.id desc limit 1
) as last
where last.kind = 'clicked' and last.at between row.at - interval '1 day' and row.at
group by last.search_id, row.visitor_id, row.instructor_id;

-- name: adopt_searches
select adopt_searches(:guest_id, :account_id, :newest);

-- name: recent_searches
select h.id, h.query, h.searched_at from search_history h
where h.visitor_id = :visitor_id
  and (:before::timestamptz is null or (h.searched_at, h.id) < (:before, :before_id::uuid))
order by h.searched_at desc, h.id desc
limit :limit;

-- name: delete_search
-- Deletes the search from the history, and its query from the log of searches.
with deleted as (
  delete from search_history where id = :id and visitor_id = :visitor_id returning id, folded
), log as (
  delete from search s using deleted d
  where s.visitor_id = :visitor_id and lower(s.query) = d.folded
)
select id from deleted;

-- name: delete_searches
with log as (
  delete from search where visitor_id = :visitor_id
)
delete from search_history where visitor_id = :visitor_id;

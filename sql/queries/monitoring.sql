-- Numbers for /metrics and /admin/system.

-- name: applied_migrations
select name from migration;

-- name: notification_numbers
-- Every count reads one of the partial indexes of notification.
select (select count(*) from notification n
        where n.sent_at is null and n.given_up_at is null and n.withheld_at is null
          and n.due_at <= :now and n.attempts = 0) as waiting,
       (select count(*) from notification n
        where n.sent_at is null and n.given_up_at is null and n.withheld_at is null
          and n.due_at > :now and n.attempts = 0) as scheduled,
       (select count(*) from notification n
        where n.sent_at is null and n.attempts > 0 and n.dropped_reason is null
          and n.given_up_at is null) as failing,
       (select count(*) from notification n
        where n.sent_at is null and n.attempts > 0 and n.dropped_reason is null
          and n.given_up_at > :now::timestamptz - interval '1 day') as given_up,
       (select count(*) from notification n where n.withheld_at is not null) as withheld,
       (select count(*) from notification n
        where n.sent_at > :now::timestamptz - interval '1 hour') as sent,
       coalesce((select extract(epoch from :now - min(n.due_at))::float8 from notification n
                 where n.sent_at is null and n.given_up_at is null and n.withheld_at is null
                   and n.due_at <= :now and n.attempts = 0), 0) as oldest_due_seconds;

-- name: database_numbers
-- A role sees the activity of its own sessions only.
select pg_database_size(d.datid) as size_bytes, d.numbackends as sessions,
       (select count(*) from pg_stat_activity a
        where a.datid = d.datid and a.state = 'active') as active,
       (select count(*) from pg_stat_activity a
        where a.datid = d.datid and a.wait_event_type = 'Lock') as waiting_for_locks,
       current_setting('max_connections')::integer as max_sessions,
       coalesce((select extract(epoch from max(clock_timestamp() - a.xact_start))::float8
                 from pg_stat_activity a where a.datid = d.datid and a.pid <> pg_backend_pid()), 0)
         as longest_transaction_seconds,
       d.xact_commit as transactions, d.xact_rollback as rolled_back,
       d.blks_hit as blocks_hit, d.blks_read as blocks_read, d.deadlocks
from pg_stat_database d
where d.datname = current_database();

-- name: roll_up_searches
-- Adds the last :days whole days (UTC) that are not in search_day yet. A query of fewer than
-- :visitors visitors, or beyond the first :max_queries of a day, is counted under the empty query.
-- Returns the number of rows.
with due as (
  select d::date as day
  from generate_series(:today::date - :days::integer, :today::date - 1, interval '1 day') as d
  where not exists (select from search_day s where s.day = d::date)
), searched as (
  select due.day, lower(s.query) as query, s.visitor_id, s.results,
         coalesce(i.clicked, false) as clicked, coalesce(i.booked, false) as booked
  from due
  join search s on s.searched_at >= due.day::timestamp at time zone 'UTC'
    and s.searched_at < (due.day + 1)::timestamp at time zone 'UTC'
  left join lateral (
    select bool_or(x.kind in ('clicked', 'booked')) as clicked, bool_or(x.kind = 'booked') as booked
    from search_interaction x where x.search_id = s.id
  ) as i on true
), per_query as (
  select day, query, count(distinct visitor_id) as visitors,
         row_number() over (
           partition by day order by count(distinct visitor_id) desc, query
         ) as rank
  from searched group by day, query
), rows as (
  insert into search_day (day, query, searches, visitors, empty, clicked, booked)
  select o.day,
         case when p.visitors >= :visitors::integer and p.rank <= :max_queries::integer then o.query
              else '' end as kept,
         count(*), count(distinct o.visitor_id), count(*) filter (where o.results = 0),
         count(*) filter (where o.clicked), count(*) filter (where o.booked)
  from searched o join per_query p on p.day = o.day and p.query = o.query
  group by o.day, kept
  on conflict do nothing
  returning 1
)
select count(*)::integer from rows;

-- name: search_totals
select coalesce(sum(searches), 0)::integer as searches, coalesce(sum(empty), 0)::integer as empty,
       coalesce(sum(clicked), 0)::integer as clicked, coalesce(sum(booked), 0)::integer as booked
from search_day where day >= :first;

-- name: top_queries
select query, sum(searches)::integer as searches, sum(empty)::integer as empty,
       sum(clicked)::integer as clicked, sum(booked)::integer as booked
from search_day where day >= :first and query <> ''
group by query
order by sum(searches) desc, query
limit :limit;

-- name: queries_without_results
select query, sum(searches)::integer as searches, sum(empty)::integer as empty,
       sum(clicked)::integer as clicked, sum(booked)::integer as booked
from search_day where day >= :first and query <> ''
group by query
having sum(empty) > 0
order by sum(empty) desc, query
limit :limit;

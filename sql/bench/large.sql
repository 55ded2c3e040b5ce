-- Ten thousand instructors with four services each, for searches. Only for a bench database.
-- bench.instructors, bench.students and bench.days are settings. The divisions keep the properties
-- of an instructor independent of the services.
set statement_timeout = 0;
set session_replication_role = replica;  -- no trigger per row; documents are written at the end

insert into account (email, full_name, password_hash)
select 'large-instructor-' || n || '@example.com',
       (array['Anna', 'Ben', 'Carla', 'Dora', 'Emil', 'Farah', 'Gina', 'Hugo', 'Ines', 'Jonas',
              'Kim', 'Lara', 'Mina', 'Nora', 'Otto', 'Priya', 'Rosa', 'Sam', 'Tara', 'Yusuf'])
         [1 + n % 20] || ' ' ||
       (array['Abbott', 'Brown', 'Castillo', 'Diaz', 'Evans', 'Fischer', 'Garcia', 'Huang',
              'Ivanova', 'Jones', 'Kowalski', 'Lopez', 'Miller', 'Nguyen', 'Okafor', 'Patel',
              'Rossi', 'Sato', 'Tran', 'Williams', 'Young'])[1 + n / 20 % 21],
       ''
from generate_series(1, current_setting('bench.instructors')::integer) as n;
insert into account (email, full_name, password_hash)
select 'large-student-' || n || '@example.com', 'Student ' || n, ''
from generate_series(1, current_setting('bench.students')::integer) as n;
insert into account_role
select id, case when email like 'large-instructor-%' then 'instructor' else 'student' end
from account where email like 'large-%';

create table bench_instructor as
select id, row_number() over (order by id) as n from account
where email like 'large-instructor-%';

insert into instructor (id, headline, bio, years_experience)
select id,
       (array['Patient lessons for everyone', 'From the first step to the stage',
              'Learn what you will use the same day', 'Calm, clear and well prepared'])[1 + n % 4],
       'I have taught for ' || n % 25 + 1 || ' years. ' ||
       (array['Beginners are welcome.', 'We improvise from the first hour.',
              'Every student gets a plan.', 'We prepare for exams together.',
              'I studied at a conservatory.'])[1 + n % 5],
       n % 25 + 1
from bench_instructor;
insert into calendar (instructor_id, min_advance_minutes, travel_buffer_minutes)
select id, 120, (n % 3) * 15 from bench_instructor;

-- Two or three neighborhoods, or for one in ten a whole borough.
insert into instructor_area (instructor_id, area)
select i.id, a.slug
from bench_instructor i
cross join generate_series(1, 2) as k
join (
  select slug, row_number() over (order by slug) as position, count(*) over () as count
  from area where name <> borough
) as a on a.position = 1 + (i.n * 37 + k * 101) % a.count
where i.n % 10 <> 0
on conflict do nothing;
insert into instructor_area (instructor_id, area)
select i.id, (array['manhattan', 'brooklyn', 'queens', 'bronx', 'staten-island'])[1 + i.n / 10 % 5]
from bench_instructor i where i.n % 10 = 0;

-- Half of the services are among sixty that are asked for most.
insert into service (
  instructor_id, catalog_service, hourly_rate_cents, durations_minutes, location_types, levels,
  audiences, description
)
select i.id, k.slug, 3000 + 500 * ((i.n / 11 + s * 7) % 18),
       case when (i.n / 19 + s) % 3 = 0 then array[45, 60, 90] else array[30, 60] end,
       array['student', 'public'],
       case when (i.n / 13 + s) % 5 = 0 then array['beginner', 'intermediate'] else '{}' end,
       case when (i.n / 17 + s) % 6 = 0 then array['adults', 'teens'] else '{}' end,
       'Bring your own material if you like.'
from bench_instructor i
cross join generate_series(1, 4) as s
join (
  select slug, row_number() over (
           order by slug not in ('piano', 'guitar', 'violin', 'spanish', 'french', 'chess', 'yoga'),
                    md5(slug)
         ) as position,
         count(*) over () as count
  from catalog_service
) as k on k.position = 1 + case when s <= 2
  then (i.n * 7 + s * 31) % least(60, k.count) else 60 + (i.n * 11 + s * 97) % (k.count - 60) end
on conflict do nothing;

insert into availability (instructor_id, during)
select i.id, tstzrange(local_instant(day + opens, 'America/New_York'),
                       local_instant(day + closes, 'America/New_York'))
from bench_instructor i
cross join lateral (
  select make_time((array[9, 12, 16, 17, 8])[1 + i.n / 7 % 5], 0, 0) as opens,
         make_time((array[17, 20, 21, 22, 13])[1 + i.n / 7 % 5], 0, 0) as closes
) as hours
cross join generate_series(0, current_setting('bench.days')::integer - 1) as d
cross join lateral (select current_date + d as day) as dates
where (d + i.n / 5) % 7 > 1;

set session_replication_role = origin;
update service set description = description;
insert into next_start (instructor_id, minutes)
select distinct s.instructor_id, length from service s, unnest(s.durations_minutes) as length;

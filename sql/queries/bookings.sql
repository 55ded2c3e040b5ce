-- Bookings: calls of the functions that change them, and reads.

-- name: reserve
select refusal, detail, booking
from reserve(:student_id, :service_id, :start, :minutes, :location_type, :location, :note, :now,
             :key, :fingerprint, :held_until, :max_upcoming, :actor_id, :override);

-- name: reschedule_booking
select refusal, detail, booking
from reschedule_booking(:actor_id, :booking_id, :start, :minutes, :now, :key, :fingerprint);

-- name: confirm_hold
select refusal, detail, booking
from confirm_hold(:actor_id, :booking_id, :location_type, :location, :note, :now, :key,
                  :fingerprint);

-- name: extend_hold
select refusal, detail, booking
from extend_hold(:actor_id, :booking_id, :held_until, :location_type, :location, :note, :now, :key,
                 :fingerprint);

-- name: give_up_hold
select refusal, detail, booking
from give_up_hold(:actor_id, :booking_id, :now, :key, :fingerprint);

-- name: sweep_bookings
select sweep(:limit, :waits, :now);

-- name: cancel_booking
select refusal, detail, booking
from cancel_booking(:actor_id, :booking_id, :reason, :now, :key, :fingerprint);

-- name: record_outcome
select refusal, detail, booking
from record_outcome(:actor_id, :booking_id, :state, :reason, :now, :key, :fingerprint);

-- name: note_booking
select refusal, detail, booking
from note_booking(:actor_id, :booking_id, :note, :now, :key, :fingerprint);

-- name: booking_history
-- Only the instructor knows of private notes.
select h.id, h.booking_id, h.at, h.event, h.from_state, h.to_state, h.reason, h.actor_id,
       a.full_name as actor_name, h.starts_at, h.override
from booking_audit h left join account a on a.id = h.actor_id
where h.booking_id = :booking_id and h.id > :after and (h.event <> 'noted' or :with_notes)
order by h.id
limit :limit;

-- name: booking_histories
-- The newest 20 entries of each booking, without the changes of private notes.
select h.id, h.booking_id, h.at, h.event, h.from_state, h.to_state, h.reason, h.actor_id,
       a.full_name as actor_name, h.starts_at, h.override
from unnest(:booking_ids::uuid[]) as b (id),
     lateral (
       select * from booking_audit h
       where h.booking_id = b.id and h.event <> 'noted'
       order by h.id desc
       limit 20
     ) as h
left join account a on a.id = h.actor_id
order by h.id;

-- name: students_of_instructor
-- Only students who have booked a lesson with the instructor. A lesson counts once it has ended and
-- took place; a cancellation counts if the student cancelled after the grace period.
select s.id, case when s.erasure_began_at is null then s.email::text else '' end as email,
       count(*) filter (where l.took_place) as lessons,
       max(l.starts_at) filter (where l.took_place) as last_lesson_at,
       count(*) filter (where l.state = 'no_show') as no_shows,
       count(*) filter (where l.state = 'cancelled' and exists (
         select from booking_audit h
         where h.booking_id = l.id and h.event = 'cancelled' and h.actor_id = s.id
       ) and not was_undone(l.id, s.id)) as cancellations
from (
  select b.id, b.student_id, b.state, lower(b.during) as starts_at,
         b.state = 'completed' or b.state = 'confirmed' and upper(b.during) <= :now as took_place
  from booking b
  where b.instructor_id = :instructor_id and b.student_id = any(:student_ids::uuid[])
) as l
join account s on s.id = l.student_id
group by s.id
having bool_or(l.state in ('confirmed', 'completed', 'no_show'));

-- name: cancellations
-- Who cancelled each of the bookings, and when.
select distinct on (h.booking_id) h.booking_id, h.actor_id, h.at
from booking_audit h
where h.booking_id = any(:booking_ids::uuid[]) and h.event = 'cancelled'
order by h.booking_id, h.id desc;

-- name: instructor_stats
-- Months are those of the instructor's zone. A lesson is upcoming until it ends. Bookings that were
-- undone within the grace period are not counted.
select count(*) filter (where l.state = 'confirmed' and l.ends_at > :now) as upcoming,
       count(*) filter (where l.state = 'completed') as completed,
       count(*) filter (where l.state = 'cancelled') as cancelled,
       count(*) filter (where l.state = 'no_show') as no_show,
       count(*) as booked,
       coalesce(sum(l.minutes) filter (where l.state = 'completed'), 0)::integer as taught_minutes,
       coalesce((
         select jsonb_agg(jsonb_build_object('month', month, 'cents', cents) order by month)
         from (
           select to_char(lower(b.during) at time zone c.time_zone, 'YYYY-MM') as month,
                  sum(b.price_cents) as cents
           from booking b join calendar c on c.instructor_id = b.instructor_id
           where b.instructor_id = :instructor_id and b.state = 'completed'
           group by month
         ) as months
       ), '[]') as earnings_by_month
from (
  select b.state, upper(b.during) as ends_at,
         extract(epoch from upper(b.during) - lower(b.during)) / 60 as minutes
  from booking b
  where b.instructor_id = :instructor_id and b.state not in ('held', 'expired')
    and not (b.state = 'cancelled' and was_undone(b.id, b.student_id))
) as l;

-- name: create_calendar_feed
-- The existing feed, or a new one.
insert into calendar_feed as f (account_id, created_at) values (:account_id, :now)
on conflict (account_id) do update set created_at = f.created_at
returning id;

-- name: calendar_feed
select id from calendar_feed where account_id = :account_id;

-- name: delete_calendar_feed
delete from calendar_feed where account_id = :account_id;

-- name: account_of_calendar_feed
select account_id from calendar_feed where id = :id;

-- name: calendar_feed_lessons
-- Lessons as student and as instructor that start after :since, the earliest :limit.
select * from (
  (
    select * from booking_detail
    where student_id = :account_id and state in ('confirmed', 'completed', 'no_show')
      and starts_at > :since::timestamptz
    order by starts_at limit :limit
  )
  union all
  (
    select * from booking_detail
    where instructor_id = :account_id and state in ('confirmed', 'completed', 'no_show')
      and starts_at > :since
    order by starts_at limit :limit
  )
) as lesson
order by starts_at, id
limit :limit;

-- name: booking_parties
select instructor_id, student_id from booking where id = :booking_id;

-- name: booking
select * from booking_detail where id = :id;

-- name: booking_terms
-- The terms that a lesson keeps when it moves, its last move, and the edges of the time that only
-- this lesson occupies on its instructor's calendar: free time without it (see free_and_held).
select b.hourly_rate_cents, b.free_cancel_hours, b.moved_at, lower(b.moved_from) as moved_from,
       (extract(epoch from upper(b.moved_from) - lower(b.moved_from)) / 60)::integer
         as moved_from_minutes,
       edges(
         coalesce((
           select range_agg(a.during) from availability a
           where a.instructor_id = b.instructor_id and a.during && own.span
             and not exists (
               select from blackout x where x.instructor_id = b.instructor_id and x.day = own.day
             )
         ), '{}') * tstzmultirange(own.span) - coalesce((
           select range_agg(tstzrange(lower(o.during) - own.buffer, upper(o.blocked)))
           from booking o
           where o.instructor_id = b.instructor_id and o.id <> b.id and o.occupies_time
             and o.blocked && tstzrange(lower(own.span), upper(own.span) + own.buffer)
         ), '{}'), 0) as own_edges
from booking b
join calendar c on c.instructor_id = b.instructor_id
cross join lateral (
  select (lower(b.during) at time zone c.time_zone)::date as day,
         make_interval(mins => c.travel_buffer_minutes) as buffer
) as local
cross join lateral (
  select local.day, local.buffer,
         tstzrange(lower(b.during) - local.buffer, upper(b.blocked))
           * day_span(local.day, c.time_zone) as span
) as own
where b.id = :id;

-- name: booking_progress
select coalesce(a.at, b.created_at) as since, a.actor_id as changed_by,
       was_undone(b.id, b.student_id) and b.cancel_reason = '' as is_undone, b.hold_extended
from booking b
left join lateral (
  select x.at, x.actor_id from booking_audit x
  where x.booking_id = b.id and x.to_state = b.state
    and x.from_state is distinct from x.to_state
  order by x.id desc
  limit 1
) as a on true
where b.id = :id;

-- name: last_place
-- The place of a hold may be the preselected one, so it counts only for the address.
select
  coalesce((array_agg(location_type::text order by created_at desc)
    filter (where state not in ('held', 'expired')))[1], '') as location_type,
  coalesce((array_agg(location::text order by created_at desc)
    filter (where location_type = 'student' and location <> ''))[1], '') as address
from booking
where student_id = :student_id;

-- name: student_bookings_upcoming
select * from booking_detail
where student_id = :account_id and state in ('held', 'confirmed') and ends_at > :now
  and (starts_at, id) > (:start::timestamptz, :id::uuid)
order by starts_at, id
limit :limit;

-- name: instructor_bookings_upcoming
select * from booking_detail
where instructor_id = :account_id and state in ('held', 'confirmed') and ends_at > :now
  and (starts_at, id) > (:start::timestamptz, :id::uuid)
order by starts_at, id
limit :limit;

-- name: student_bookings_earlier
select * from booking_detail
where student_id = :account_id and state = any(:states::text[])
  and (state <> 'confirmed' or ends_at <= :ended_by)
  and (starts_at, id) < (:start::timestamptz, :id::uuid)
order by starts_at desc, id desc
limit :limit;

-- name: instructor_bookings_earlier
select * from booking_detail
where instructor_id = :account_id and state = any(:states::text[])
  and (state <> 'confirmed' or ends_at <= :ended_by)
  and (starts_at, id) < (:start::timestamptz, :id::uuid)
order by starts_at desc, id desc
limit :limit;

-- name: instructor_timeline
select * from booking_detail
where instructor_id = :account_id and starts_at > :since
  and state in ('held', 'confirmed', 'completed', 'no_show')
order by starts_at, id
limit :limit;

-- name: calendar_lessons
-- The holds and lessons that occupy an instructor's time, for the page of a week.
select b.id, lower(b.during) as starts_at, upper(b.during) as ends_at, b.state, b.service_name,
       a.full_name as student_name
from booking b join account a on a.id = b.student_id
where b.instructor_id = :instructor_id and b.occupies_time
  and b.blocked && tstzrange(:from_instant, :to_instant)
  and b.during && tstzrange(:from_instant, :to_instant)
order by lower(b.during);

-- name: all_bookings
-- For staff: every booking, the latest start first. The dates are days in the reader's zone.
select * from booking_detail
where (starts_at, id) < (:start, :id)
  and starts_at >= coalesce(day_start(:first::date, :time_zone), '-infinity')
  and starts_at < coalesce(day_start(:last::date + 1, :time_zone), 'infinity')
  and (:state::text is null or state = :state)
order by starts_at desc, id desc
limit :limit;

-- name: all_bookings_of_account
-- Like all_bookings, but only those of one account, as student or instructor.
select * from booking_detail
where (student_id = :account_id or instructor_id = :account_id)
  and (starts_at, id) < (:start, :id)
  and starts_at >= coalesce(day_start(:first::date, :time_zone), '-infinity')
  and starts_at < coalesce(day_start(:last::date + 1, :time_zone), 'infinity')
  and (:state::text is null or state = :state)
order by starts_at desc, id desc
limit :limit;

-- name: all_bookings_of_instructor
-- Like all_bookings, but only those of one instructor, with one student or all.
select * from booking_detail
where instructor_id = :instructor_id and (:student_id::uuid is null or student_id = :student_id)
  and (starts_at, id) < (:start, :id)
  and starts_at >= coalesce(day_start(:first::date, :time_zone), '-infinity')
  and starts_at < coalesce(day_start(:last::date + 1, :time_zone), 'infinity')
  and (:state::text is null or state = :state)
order by starts_at desc, id desc
limit :limit;

-- name: local_start
-- A wall-clock time of the service's instructor. Null: there is no such time on that day.
select local_instant(:day::date + :wall_clock::text::time, c.time_zone) as start
from service s join calendar c on c.instructor_id = s.instructor_id
where s.id = :service_id;

-- name: can_book
-- Whether there is this account, and whether it has a role that books lessons.
select exists (
  select from account_role r join role_permission p on p.role = r.role
  where r.account_id = a.id and p.permission = 'create_bookings'
) as can_book
from account a where a.id = :account_id;

-- name: lessons_between
select count(*) from booking
where state = 'confirmed' and lower(during) >= :first and lower(during) < :last;

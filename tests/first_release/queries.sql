-- Statements of the processes of the first release. Never change them, except for their layout.

-- name: session_by_id
select a.id as account_id, a.email::text, a.full_name, a.time_zone,
       array(select r.role from account_role r where r.account_id = a.id) as roles,
       array(
         select distinct p.permission
         from account_role r join role_permission p on p.role = r.role
         where r.account_id = a.id
       ) as permissions,
       s.expires_at
from session s
join account a on a.id = s.account_id
where s.id = :session_id and s.revoked_at is null and s.expires_at > :now;

-- name: insert_account
with made as (
  insert into account (email, password_hash, full_name, time_zone)
  values (:email, :password_hash, :full_name, :time_zone)
  returning id, time_zone
), given as (
  insert into account_role (account_id, role) select id, :role from made
), teaches as (
  insert into instructor (id) select id from made where :role = 'instructor'
), calendar as (
  insert into calendar (instructor_id, time_zone)
  select id, time_zone from made where :role = 'instructor'
)
select id from made;

-- name: week
select c.time_zone, c.version,
       (select jsonb_object_agg(to_char(d.day, 'YYYY-MM-DD'), d.ranges)
        from local_days(c.instructor_id, :start, 7) as d) as days
from calendar c where c.instructor_id = :instructor_id;

-- name: board_message
select b.epoch, b.version,
       json_build_object(
         'type', 'board', 'instructor', :instructor::uuid, 'epoch', b.epoch, 'version', b.version,
         'time_zone', b.time_zone, 'min_advance_minutes', b.min_advance_minutes, 'days', b.days
       )::text as message
from board(:instructor, :first, :days) b;

-- name: booking
select id, state, starts_at, ends_at, duration_minutes, held_until, service_id, service_name,
       price_cents, instructor_id, instructor_name, student_id, student_name, location_type,
       location, note, instructor_note, free_cancel_until, late, cancel_reason, sequence, version,
       created_at, time_zone
from booking_detail where id = :id;

-- name: student_bookings_upcoming
select id, state, starts_at, ends_at, duration_minutes, held_until, service_id, service_name,
       price_cents, instructor_id, instructor_name, student_id, student_name, location_type,
       location, note, instructor_note, free_cancel_until, late, cancel_reason, sequence, version,
       created_at, time_zone
from booking_detail
where student_id = :account_id and state in ('held', 'confirmed') and ends_at > :now
  and starts_at > :now - interval '1 day'  -- for the index: a lesson lies within one day
  and (:start::timestamptz is null or (starts_at, id) > (:start, :id::uuid))
order by starts_at, id
limit :limit;

-- name: reserve
select refusal, detail, booking
from reserve(:student_id, :service_id, :start, :minutes, :location_type, :location, :note, :now);

-- name: cancel_booking
select refusal, detail, booking from cancel_booking(:actor_id, :booking_id, :reason, :now);

-- name: versions_of
with site as materialized (select epoch() as epoch)
select site.epoch, c.instructor_id, c.version
from site left join calendar c on c.instructor_id = any(:instructors::uuid[]);

-- name: unpublished_changes
with site as materialized (select epoch() as epoch)
select o.id, 'board:' || crc32(uuid_send(o.instructor_id)) % :partitions::bigint as channel,
       json_build_object(
         'instructor', o.instructor_id, 'version', o.version, 'epoch', site.epoch,
         'at', extract(epoch from o.created_at)::float8, 'days', o.days, 'events', o.events
       )::text as payload
from outbox o, site
where o.published_at is null
order by o.id
limit :limit;

-- name: mark_published
update outbox set published_at = clock_timestamp()
where id = any(:ids::bigint[]) and published_at is null;

-- Bookings: calls of the functions that change them, and reads.

-- name: reserve
select refusal, detail, booking
from reserve(:student_id, :service_id, :start, :minutes, :location_type, :location, :note, :now,
             :key, :fingerprint, :held_until);

-- name: reschedule_booking
select refusal, detail, booking
from reschedule_booking(:actor_id, :booking_id, :start, :minutes, :now, :key, :fingerprint);

-- name: confirm_hold
select refusal, detail, booking
from confirm_hold(:actor_id, :booking_id, :location_type, :location, :note, :now, :key,
                  :fingerprint);

-- name: extend_hold
select refusal, detail, booking
from extend_hold(:actor_id, :booking_id, :held_until, :now, :key, :fingerprint);

-- name: give_up_hold
select refusal, detail, booking
from give_up_hold(:actor_id, :booking_id, :now, :key, :fingerprint);

-- name: sweep_bookings
select sweep(:limit, :waits, :now);

-- name: cancel_booking
select refusal, detail, booking
from cancel_booking(:actor_id, :booking_id, :reason, :now, :key, :fingerprint);

-- name: instructor_of_booking
select instructor_id from booking where id = :booking_id;

-- name: booking
select * from booking_detail where id = :id;

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

-- name: calendar_lessons
-- What occupies an instructor's time in a week, for the calendar's page.
select b.id, lower(b.during) as starts_at, upper(b.during) as ends_at, b.state, b.service_name,
       a.full_name as student_name
from booking b join account a on a.id = b.student_id
where b.instructor_id = :instructor_id and b.occupies_time
  and b.blocked && tstzrange(:from_instant, :to_instant)
  and b.during && tstzrange(:from_instant, :to_instant)
order by lower(b.during);

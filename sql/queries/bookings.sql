-- Bookings: the two functions that change them, and the reads.

-- name: reserve
select refusal, detail, booking
from reserve(:student_id, :service_id, :start, :minutes, :location_type, :location, :note, :now);

-- name: cancel_booking
select refusal, detail, booking from cancel_booking(:actor_id, :booking_id, :reason, :now);

-- name: booking
select id, state, starts_at, ends_at, duration_minutes, held_until, service_id, service_name, price_cents,
       instructor_id, instructor_name, student_id, student_name, location_type, location, note, instructor_note,
       free_cancel_until, late, cancel_reason, sequence, version, created_at, time_zone
from booking_detail where id = :id;

-- name: student_bookings_upcoming
select id, state, starts_at, ends_at, duration_minutes, held_until, service_id, service_name, price_cents,
       instructor_id, instructor_name, student_id, student_name, location_type, location, note, instructor_note,
       free_cancel_until, late, cancel_reason, sequence, version, created_at, time_zone
from booking_detail
where student_id = :account_id and state in ('held', 'confirmed') and ends_at > :now
  and starts_at > :now - interval '1 day'   -- a lesson lies within one day; this is what the index can use
  and (:start::timestamptz is null or (starts_at, id) > (:start, :id::uuid))
order by starts_at, id
limit :limit;

-- name: instructor_bookings_upcoming
select id, state, starts_at, ends_at, duration_minutes, held_until, service_id, service_name, price_cents,
       instructor_id, instructor_name, student_id, student_name, location_type, location, note, instructor_note,
       free_cancel_until, late, cancel_reason, sequence, version, created_at, time_zone
from booking_detail
where instructor_id = :account_id and state in ('held', 'confirmed') and ends_at > :now
  and starts_at > :now - interval '1 day'
  and (:start::timestamptz is null or (starts_at, id) > (:start, :id::uuid))
order by starts_at, id
limit :limit;

-- name: student_bookings_earlier
select id, state, starts_at, ends_at, duration_minutes, held_until, service_id, service_name, price_cents,
       instructor_id, instructor_name, student_id, student_name, location_type, location, note, instructor_note,
       free_cancel_until, late, cancel_reason, sequence, version, created_at, time_zone
from booking_detail
where student_id = :account_id and state = any(:states::text[])
  and (:ended_by::timestamptz is null or state <> 'confirmed' or ends_at <= :ended_by)
  and (:start::timestamptz is null or (starts_at, id) < (:start, :id::uuid))
order by starts_at desc, id desc
limit :limit;

-- name: instructor_bookings_earlier
select id, state, starts_at, ends_at, duration_minutes, held_until, service_id, service_name, price_cents,
       instructor_id, instructor_name, student_id, student_name, location_type, location, note, instructor_note,
       free_cancel_until, late, cancel_reason, sequence, version, created_at, time_zone
from booking_detail
where instructor_id = :account_id and state = any(:states::text[])
  and (:ended_by::timestamptz is null or state <> 'confirmed' or ends_at <= :ended_by)
  and (:start::timestamptz is null or (starts_at, id) < (:start, :id::uuid))
order by starts_at desc, id desc
limit :limit;

-- name: claim_idempotency_key
-- The key, if it is this call's now: new, or left over from more than 24 h ago.
insert into idempotency_key as k (account_id, key, method, path, body_sha256, created_at)
values (:account_id, :key, :method, :path, :body_sha256, :now)
on conflict (account_id, key) do update
  set method = excluded.method, path = excluded.path, body_sha256 = excluded.body_sha256, answer = null,
      created_at = excluded.created_at
  where k.created_at <= excluded.created_at - interval '24 hours'
returning k.key;

-- name: idempotent_answer
select method, path, body_sha256, answer from idempotency_key where account_id = :account_id and key = :key;

-- name: store_idempotent_answer
update idempotency_key set answer = :answer where account_id = :account_id and key = :key;

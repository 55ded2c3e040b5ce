-- The first release stored the response for an Idempotency-Key as JSON for the client. A repeat now
-- reads a row of booking_detail, so the responses of the last day are converted to that shape.
update idempotency_key k
set answer = jsonb_build_object(
  'id', answer -> 'id', 'state', answer -> 'state', 'starts_at', answer -> 'start',
  'ends_at', answer -> 'end', 'duration_minutes', answer -> 'duration_minutes',
  'held_until', answer -> 'held_until', 'service_id', answer -> 'service' -> 'id',
  'service_name', answer -> 'service' -> 'name', 'price_cents', answer -> 'price_cents',
  'instructor_id', answer -> 'instructor' -> 'id',
  'instructor_name', answer -> 'instructor' -> 'name',
  'student_id', answer -> 'student' -> 'id', 'student_name', answer -> 'student' -> 'name',
  'location_type', answer -> 'location_type', 'location', answer -> 'location',
  'note', answer -> 'note',
  'instructor_note', coalesce(answer -> 'instructor_note', '""'),
  'free_cancel_until', answer -> 'free_cancel_until', 'late', answer -> 'late',
  -- Columns that responses do not contain.
  'cancel_reason', '', 'time_zone', 'UTC',
  'sequence', answer -> 'sequence', 'version', answer -> 'version',
  'created_at', answer -> 'created_at'
)
where not answer ? 'starts_at';

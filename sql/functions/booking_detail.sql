-- A booking with the names people read: what lists, pages, mails and outbox events show of it.
create or replace view booking_detail as
select b.id, b.state, lower(b.during) as starts_at, upper(b.during) as ends_at, b.duration_minutes, b.held_until,
       b.service_id, b.service_name, b.price_cents,
       b.instructor_id, teacher.full_name as instructor_name, b.student_id, student.full_name as student_name,
       b.location_type, b.location, b.note, b.instructor_note, b.free_cancel_until, b.late, b.cancel_reason,
       b.sequence, b.version, b.created_at, c.time_zone
from booking b
join calendar c on c.instructor_id = b.instructor_id
join account teacher on teacher.id = b.instructor_id
join account student on student.id = b.student_id;

-- One outbox event. previous_version is the booking's version before it (0: it is new); a feed that adds up the differences
-- knows whether it heard of everything.
create or replace function booking_event(p_event text, p_booking uuid, p_previous_version bigint) returns jsonb
language plpgsql stable as $$
begin
  return (
    select jsonb_build_object('event', p_event, 'previous_version', p_previous_version, 'booking', to_jsonb(d))
    from booking_detail d where d.id = p_booking
  );
end
$$;

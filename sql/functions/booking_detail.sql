-- A booking with the names of student and instructor, as lists, pages, mails and booking messages
-- show it.
create view booking_detail as
select b.id, b.state, lower(b.during) as starts_at, upper(b.during) as ends_at,
       (extract(epoch from upper(b.during) - lower(b.during)) / 60)::integer as duration_minutes,
       b.held_until, b.service_id, b.service_name, b.price_cents,
       b.instructor_id, instructor.full_name as instructor_name,
       b.student_id, student.full_name as student_name,
       b.location_type, b.location, b.note, b.instructor_note, b.free_cancel_until, b.late,
       b.cancel_reason, b.sequence, b.version, b.created_at, c.time_zone
from booking b
join calendar c on c.instructor_id = b.instructor_id
join account instructor on instructor.id = b.instructor_id
join account student on student.id = b.student_id;

-- The booking as JSON, with the view's columns.
create function booking_json(p_booking uuid) returns jsonb
language plpgsql stable as $$
begin
  return (select to_jsonb(d) from booking_detail d where d.id = p_booking);
end
$$;

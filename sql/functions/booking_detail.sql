-- A booking with the names of student and instructor, as lists, pages, mails and booking messages
-- show it. The columns stand here once; the function is inlined into the view.
create function booking_columns(
  p_booking booking, p_instructor_name text, p_student_name text, p_time_zone text
) returns table (
  id uuid, state text, starts_at timestamptz, ends_at timestamptz, duration_minutes integer,
  held_until timestamptz, service_id uuid, service_name text, price_cents integer,
  instructor_id uuid, instructor_name text, student_id uuid, student_name text,
  location_type text, location text, note text, instructor_note text,
  free_cancel_until timestamptz, late boolean, cancel_reason text, sequence integer,
  version bigint, created_at timestamptz, time_zone text
)
language sql stable as $$
  select p_booking.id, p_booking.state::text, lower(p_booking.during), upper(p_booking.during),
         (extract(epoch from upper(p_booking.during) - lower(p_booking.during)) / 60)::integer,
         p_booking.held_until, p_booking.service_id, p_booking.service_name::text,
         p_booking.price_cents, p_booking.instructor_id, p_instructor_name, p_booking.student_id,
         p_student_name, p_booking.location_type::text, p_booking.location::text,
         p_booking.note::text, p_booking.instructor_note::text, p_booking.free_cancel_until,
         p_booking.late, p_booking.cancel_reason::text, p_booking.sequence, p_booking.version,
         p_booking.created_at, p_time_zone
$$;

create view booking_detail as
select d.*
from booking b
join calendar c on c.instructor_id = b.instructor_id
join account instructor on instructor.id = b.instructor_id
join account student on student.id = b.student_id
cross join lateral booking_columns(b, instructor.full_name, student.full_name, c.time_zone) as d;

-- The booking as JSON, with the view's columns.
create function booking_json(p_booking uuid) returns jsonb
language plpgsql stable as $$
begin
  return (select to_jsonb(d) from booking_detail d where d.id = p_booking);
end
$$;

-- The address of lessons at the instructor's place. Only booked lessons show it.
alter table instructor add column teaching_address short_text not null default '';

-- Without an address these lessons are not offered, and no instructor has one yet. A service that
-- is offered nowhere else is withdrawn; its instructor can offer it again.
update service set is_active = false where location_types = '{instructor}';
update service set location_types = array_remove(location_types, 'instructor')
where 'instructor' = any (location_types) and location_types <> '{instructor}';
delete from next_start n
where not exists (
  select from service s
  where s.instructor_id = n.instructor_id and s.is_active and n.minutes = any (s.durations_minutes)
);

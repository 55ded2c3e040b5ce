-- The export of an account: each statement is one section, a JSON object per row. Of the other
-- person of a booking it contains the name only. Secrets (hashes, keys of links) are left out.

-- name: export_account
select jsonb_build_object(
  'id', a.id, 'email', a.email, 'full_name', a.full_name, 'time_zone', a.time_zone,
  'clock', a.clock, 'created_at', wire_instant(a.created_at),
  'email_confirmed_at', wire_instant(a.verified_at),
  'roles', array(select r.role from account_role r where r.account_id = a.id order by r.role),
  'removed_roles', (
    select coalesce(jsonb_object_agg(r.role, wire_instant(r.removed_at)), '{}')
    from removed_role r where r.account_id = a.id),
  'second_factor', coalesce(
    (select case when t.confirmed_at is null then 'being set up' else 'on' end
     from totp t where t.account_id = a.id), 'off'),
  'recovery_codes_left', (select count(*) from recovery_code c where c.account_id = a.id))
from account a where a.id = :account_id;

-- name: export_sessions
select jsonb_build_object(
  'id', s.id, 'device', s.device, 'created_at', wire_instant(s.created_at),
  'last_used_at', wire_instant(s.last_used_at), 'expires_at', wire_instant(s.expires_at),
  'revoked_at', wire_instant(s.revoked_at))
from session s where s.account_id = :account_id
order by s.created_at, s.id;

-- name: export_notification_preferences
select jsonb_build_object('kind', p.kind, 'email', p.email)
from notification_preference p where p.account_id = :account_id
order by p.kind;

-- name: export_calendar_feed
select jsonb_build_object('created_at', wire_instant(f.created_at))
from calendar_feed f where f.account_id = :account_id;

-- name: export_profile
select jsonb_build_object(
  'headline', i.headline, 'bio', i.bio, 'years_experience', i.years_experience,
  'teaching_address', i.teaching_address, 'created_at', wire_instant(i.created_at),
  'areas', array(
    select x.area from instructor_area x where x.instructor_id = i.id order by x.area))
from instructor i where i.id = :account_id;

-- name: export_services
select jsonb_build_object(
  'id', s.id, 'catalog_service', s.catalog_service, 'description', s.description,
  'hourly_rate_cents', s.hourly_rate_cents, 'durations_minutes', s.durations_minutes,
  'location_types', s.location_types, 'levels', s.levels, 'audiences', s.audiences,
  'active', s.is_active, 'created_at', wire_instant(s.created_at))
from service s where s.instructor_id = :account_id
order by s.id;

-- name: export_calendar
select jsonb_build_object(
  'active', c.is_active, 'time_zone', c.time_zone, 'min_advance_minutes', c.min_advance_minutes,
  'travel_buffer_minutes', c.travel_buffer_minutes, 'free_cancel_hours', c.free_cancel_hours)
from calendar c where c.instructor_id = :account_id;

-- name: export_availability
select jsonb_build_object(
  'start', wire_instant(lower(a.during)), 'end', wire_instant(upper(a.during)))
from availability a where a.instructor_id = :account_id
order by a.during;

-- name: export_blackouts
select jsonb_build_object('date', b.day, 'reason', b.reason)
from blackout b where b.instructor_id = :account_id
order by b.day;

-- name: export_standing_pattern
select jsonb_build_object('days', p.days, 'updated_at', wire_instant(p.updated_at))
from standing_pattern p where p.instructor_id = :account_id;

-- name: export_edited_weeks
select jsonb_build_object('monday', w.monday, 'edited_at', wire_instant(w.edited_at))
from edited_week w where w.instructor_id = :account_id
order by w.monday;

-- name: export_bookings_as_student
select jsonb_build_object(
  'id', b.id, 'state', b.state, 'instructor', a.full_name, 'service', b.service_name,
  'start', wire_instant(lower(b.during)), 'end', wire_instant(upper(b.during)),
  'held_until', wire_instant(b.held_until), 'price_cents', b.price_cents,
  'location_type', b.location_type,
  'location', case when b.location_type <> 'instructor' then b.location else '' end,
  'note', b.note, 'late', b.late,
  'cancel_reason', case when exists (
    select from booking_audit h
    where h.booking_id = b.id and h.event = 'cancelled' and h.actor_id = :account_id
  ) then b.cancel_reason else '' end,
  'created_at', wire_instant(b.created_at))
from booking b
join account a on a.id = b.instructor_id
where b.student_id = :account_id
order by lower(b.during), b.id;

-- name: export_bookings_as_instructor
select jsonb_build_object(
  'id', b.id, 'state', b.state, 'student', a.full_name, 'service', b.service_name,
  'start', wire_instant(lower(b.during)), 'end', wire_instant(upper(b.during)),
  'price_cents', b.price_cents, 'location_type', b.location_type,
  'location', case when b.location_type = 'instructor' then b.location else '' end,
  'instructor_note', b.instructor_note, 'late', b.late,
  'cancel_reason', case when exists (
    select from booking_audit h
    where h.booking_id = b.id and h.event = 'cancelled' and h.actor_id = :account_id
  ) then b.cancel_reason else '' end,
  'created_at', wire_instant(b.created_at))
from booking b
join account a on a.id = b.student_id
where b.instructor_id = :account_id
order by lower(b.during), b.id;

-- name: export_acts
-- The account's own entries in the trail of its bookings.
select jsonb_build_object(
  'booking_id', h.booking_id, 'at', wire_instant(h.at), 'event', h.event,
  'from_state', h.from_state, 'to_state', h.to_state, 'reason', h.reason,
  'override', h.override,
  'starts_at', wire_instant(h.starts_at))
from (
  select b.id from booking b where b.student_id = :account_id
  union all
  select b.id from booking b where b.instructor_id = :account_id
) as own
join booking_audit h on h.booking_id = own.id and h.actor_id = :account_id
order by h.id;

-- name: export_staff_acts
-- What an admin did with the bookings of others. This reads the whole trail, so it is for accounts
-- that are admins only.
select jsonb_build_object(
  'booking_id', h.booking_id, 'at', wire_instant(h.at), 'event', h.event,
  'from_state', h.from_state, 'to_state', h.to_state, 'reason', h.reason,
  'override', h.override,
  'starts_at', wire_instant(h.starts_at))
from booking_audit h
where h.actor_id = :account_id
  and exists (select from account_role r where r.account_id = :account_id and r.role = 'admin')
  and not exists (
    select from booking b
    where b.id = h.booking_id and :account_id in (b.student_id, b.instructor_id)
  )
order by h.id;

-- name: export_notifications
select jsonb_build_object(
  'kind', n.kind, 'booking_id', n.booking_id, 'address', n.address,
  'due_at', wire_instant(n.due_at), 'sent_at', wire_instant(n.sent_at),
  'withheld_at', wire_instant(n.withheld_at), 'given_up_at', wire_instant(n.given_up_at),
  'dropped_reason', n.dropped_reason, 'last_error', n.last_error)
from notifications_about(:account_id) n
where n.recipient_id = :account_id
order by n.id;

-- name: export_mails
-- Mails that this site stored instead of sending them.
select jsonb_build_object(
  'created_at', wire_instant(m.created_at), 'recipient', m.recipient, 'subject', m.subject,
  'text', m.body_text, 'calendar', m.calendar)
from notifications_about(:account_id) n
join dev_mail m on m.notification_id = n.id
where n.recipient_id = :account_id
order by m.id;

-- name: export_idempotency_keys
select jsonb_build_object(
  'key', k.key, 'created_at', wire_instant(k.created_at), 'booking_id', k.answer -> 'id')
from idempotency_key k where k.account_id = :account_id
order by k.created_at, k.key;

-- name: export_search_history
select jsonb_build_object('query', h.query, 'searched_at', wire_instant(h.searched_at))
from search_history h where h.visitor_id = :account_id
order by h.searched_at, h.id;

-- name: export_searches
select jsonb_build_object(
  'id', s.id, 'query', s.query, 'results', s.results, 'searched_at', wire_instant(s.searched_at))
from search s where s.visitor_id = :account_id
order by s.searched_at, s.id;

-- name: export_search_interactions
select jsonb_build_object(
  'search_id', x.search_id, 'instructor_id', x.instructor_id, 'kind', x.kind,
  'at', wire_instant(x.at))
from search_interaction x where x.visitor_id = :account_id
order by x.id;

-- Notifications: due rows, their delivery, and the mails of a site without an SMTP server.

-- name: due_notifications
-- Oldest first. `waits`: an earlier notification about the same booking to the same account has not
-- been tried yet. One that was tried and failed does not hold up later ones.
select n.id,
       exists (
         select from notification earlier
         where earlier.booking_id = n.booking_id and earlier.recipient_id = n.recipient_id
           and earlier.id < n.id and earlier.sent_at is null and earlier.given_up_at is null
           and earlier.withheld_at is null and earlier.attempts = 0
           and is_due(earlier.due_at, :now) and earlier.kind = any(:kinds::text[])
       ) as waits
from notification n
where n.sent_at is null and n.given_up_at is null and n.withheld_at is null
  and is_due(n.due_at, :now) and n.kind = any(:kinds)
order by n.due_at, n.id
limit :limit;

-- name: lock_notification
-- Locks the row until the transaction ends, if it is still due and not locked by another worker.
-- Returns it with its booking, which is null for a kind without one (and for a deleted booking).
-- `quiet_until` is the end of the quiet hours, if they are now, in the zone of the lesson.
-- `moved_from` and `moved_from_end` are the time before the move, if the recipient was told of it.
-- `actor_id`: who booked or cancelled the lesson.
select n.id, n.kind, n.attempts, n.sequence, n.booking_id, n.recipient_id,
       coalesce(n.address, recipient.email)::text as email, recipient.full_name,
       recipient.email::text as account_email, recipient.clock::text as clock,
       recipient.verified_at is not null as is_verified,
       recipient.erasure_began_at is not null as is_erased,
       case when n.kind in ('password_reset', 'email_change')
            then recipient.password_hash end as password_hash,
       exists (
         select from account_role r
         where r.account_id = n.recipient_id and r.role = 'instructor'
       ) as is_instructor,
       exists (
         select from notification_preference p
         where p.account_id = n.recipient_id and p.kind = n.kind and not p.email
       ) as turned_off,
       (select a.actor_id from booking_audit a
        where a.booking_id = n.booking_id and a.event = any(case n.kind
          when 'booking_confirmed' then '{created,confirmed}'
          when 'booking_cancelled' then '{cancelled}' end::text[])
        order by a.id desc limit 1) as actor_id,
       quiet_until(:now, detail.time_zone) as quiet_until,
       lower(moved.during) as moved_from, upper(moved.during) as moved_from_end,
       to_jsonb(detail) || case erased.id
         when detail.student_id then jsonb_build_object('student_name', erased.former_name)
         when detail.instructor_id then jsonb_build_object('instructor_name', erased.former_name)
         else '{}' end as booking
from notification n
join account recipient on recipient.id = n.recipient_id
left join lateral (select * from booking_detail d where d.id = n.booking_id) as detail on true
-- The other person, whose account is being erased.
left join account erased on erased.former_name is not null and erased.id <> n.recipient_id
  and erased.id in (detail.student_id, detail.instructor_id)
left join lateral (
  select b.moved_from as during from booking b
  where b.id = n.booking_id and n.kind = 'booking_rescheduled' and exists (
    select from notification before
    where before.booking_id = n.booking_id and before.recipient_id = n.recipient_id
      and before.sequence = n.sequence - 1 and before.sent_at is not null
  )
) as moved on true
where n.id = :id and n.sent_at is null and n.given_up_at is null and n.withheld_at is null
  and is_due(n.due_at, :now) and n.kind = any(:kinds::text[])
for no key update of n skip locked;

-- name: mark_notification_sent
update notification set sent_at = :now, last_error = null where id = :id;

-- name: withhold_notification
-- Unless the address has been confirmed meanwhile: confirming it locks the account. If the account
-- is locked now, the notification stays due.
with recipient as materialized (
  select a.id from account a
  where a.id = (select n.recipient_id from notification n where n.id = :id)
    and a.verified_at is null
  for share skip locked
)
update notification n set withheld_at = :now
where n.id = :id and n.recipient_id = any(array(select r.id from recipient r))
returning n.id;

-- name: mark_notification_failed
update notification
set attempts = attempts + 1, last_error = :error, due_at = :due_at, given_up_at = :given_up_at
where id = :id;

-- name: postpone_notification
update notification set due_at = :due_at where id = :id;

-- name: drop_notification
update notification set given_up_at = :now, dropped_reason = :reason where id = :id;

-- name: failed_notifications
-- Those that could not be sent so far, the newest first. `retry_at` is null if they were given up.
select n.id, n.kind, a.full_name, a.email::text, n.attempts, n.last_error,
       case when n.given_up_at is null then n.due_at end as retry_at, n.given_up_at
from notification n
join account a on a.id = n.recipient_id
where n.sent_at is null and n.attempts > 0 and n.dropped_reason is null and n.id < :before
order by n.id desc
limit :limit;

-- name: retry_notification
-- Makes a failed notification due now, with all its attempts.
update notification set due_at = :now, given_up_at = null, attempts = 1
where id = :id and sent_at is null and attempts > 0 and dropped_reason is null
returning id;

-- name: insert_reminders
-- For both people of each lesson that starts within 24 hours, once per time of the lesson. A lesson
-- booked or moved less than 24 hours ahead gets none. A reminder that was dropped after the start
-- of a lesson that is yet to come was dropped by a clock that was ahead, so it is due again.
-- Returns the number of lessons.
with lesson as (
  select b.id, b.student_id, b.instructor_id, b.sequence,
         lower(b.during) - interval '24 hours' as due_at
  from booking b
  where b.state = 'confirmed'
    and lower(b.during) > :now and lower(b.during) <= :now::timestamptz + interval '24 hours'
    -- For the index. A lesson lasts at most a day.
    and upper(b.during) > :now and upper(b.during) <= :now::timestamptz + interval '48 hours'
    and not exists (
      select from notification n
      where n.booking_id = b.id and n.recipient_id = b.student_id and n.kind = 'reminder'
        and n.sequence = b.sequence
        and (n.dropped_reason is distinct from 'too_late' or n.given_up_at < lower(b.during))
    )
    and not exists (
      select from booking_audit a
      where a.booking_id = b.id and a.event in ('created', 'confirmed', 'rescheduled')
        and a.at > lower(b.during) - interval '24 hours'
    )
  order by lower(b.during)
  limit :limit
), reminder as (
  insert into notification (kind, recipient_id, booking_id, sequence, due_at)
  select 'reminder', recipient, id, sequence, due_at
  from lesson, unnest(array[student_id, instructor_id]) as recipient
  on conflict on constraint notification_once do update
    set due_at = excluded.due_at, given_up_at = null, dropped_reason = null
    where notification.dropped_reason = 'too_late'
      and notification.given_up_at >= excluded.due_at + interval '24 hours'
)
select count(*) from lesson;

-- name: preferences_of
select kind::text as kind, email from notification_preference where account_id = :account_id;

-- name: set_preferences
insert into notification_preference (account_id, kind, email)
select :account_id, kind, email
from unnest(:kinds::text[], :emails::boolean[]) as preference (kind, email)
on conflict (account_id, kind) do update set email = excluded.email;

-- name: insert_dev_mail
insert into dev_mail (
  notification_id, created_at, sender, recipient, subject, body_text, body_html, calendar
)
values (
  :notification_id, :now, :sender, :recipient, :subject, :body_text, :body_html, :calendar
);

-- name: dev_mails
select id, created_at, recipient, subject, calendar is not null as has_calendar
from dev_mail
order by id desc
limit :limit;

-- name: dev_mail
select id, created_at, sender, recipient, subject, body_text, body_html, calendar
from dev_mail where id = :id;

-- Notifications: due rows, their delivery, and the mails of a site without an SMTP server.

-- name: due_notifications
-- Oldest first. `waits`: an earlier notification about the same booking to the same account has not
-- been tried yet. One that was tried and failed does not hold up later ones.
select n.id,
       exists (
         select from notification earlier
         where earlier.booking_id = n.booking_id and earlier.recipient_id = n.recipient_id
           and earlier.id < n.id and earlier.sent_at is null and earlier.given_up_at is null
           and earlier.attempts = 0
           and earlier.due_at <= :now and earlier.kind = any(:kinds::text[])
       ) as waits
from notification n
where n.sent_at is null and n.given_up_at is null and n.due_at <= :now and n.kind = any(:kinds)
order by n.due_at, n.id
limit :limit;

-- name: lock_notification
-- Locks the row until the transaction ends, if it is still due and not locked by another worker.
-- Returns it with its booking.
select n.id, n.kind, n.attempts, n.booking_id, n.recipient_id, recipient.email::text as email,
       recipient.full_name,
       (select a.actor_id from booking_audit a
        where a.booking_id = n.booking_id and a.event = 'cancelled'
        order by a.id desc limit 1) as cancelled_by,
       (select to_json(d) from booking_detail d where d.id = n.booking_id) as booking
from notification n
join account recipient on recipient.id = n.recipient_id
where n.id = :id and n.sent_at is null and n.given_up_at is null and n.due_at <= :now
  and n.kind = any(:kinds::text[])
for no key update of n skip locked;

-- name: mark_notification_sent
update notification set sent_at = :now, last_error = null where id = :id;

-- name: mark_notification_failed
update notification
set attempts = attempts + 1, last_error = :error, due_at = :due_at, given_up_at = :given_up_at
where id = :id;

-- name: drop_notification
-- For a notification whose content is no longer true.
update notification set given_up_at = :now, last_error = :reason where id = :id;

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

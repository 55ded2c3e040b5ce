-- Removes the accounts of a small crowd (loadtests/removal.py). Other accounts are never deleted,
-- even if they are in the list.

-- name: crowd_lessons
select b.id, b.student_id
from booking b
join account a on a.id = b.student_id
where a.id = any(:accounts::uuid[]) and a.email like 'crowd-%@example.com'
  and b.state = 'confirmed' and lower(b.during) > :now
order by b.id
limit 1000;

-- name: delete_crowd_notifications
-- Also deletes the mails at /dev/mail, to the crowd and to its instructor.
with crowd as (
  select id from account where id = any(:accounts::uuid[]) and email like 'crowd-%@example.com'
), deleted as (
  delete from notification
  where booking_id in (select id from booking where student_id in (select id from crowd))
    or booking_id is null and recipient_id in (select id from crowd)
  returning 1
)
select count(*) from deleted;

-- name: delete_crowd_bookings
-- A confirmed lesson is kept, because boards would still show its time as taken. (Those ahead were
-- cancelled before.)
with deleted as (
  delete from booking
  where not occupies_time and student_id in (
    select id from account where id = any(:accounts::uuid[]) and email like 'crowd-%@example.com'
  )
  returning 1
)
select count(*) from deleted;

-- name: delete_crowd_accounts
with deleted as (
  delete from account
  where id = any(:accounts::uuid[]) and email like 'crowd-%@example.com'
    and not exists (select from booking where student_id = account.id)
  returning 1
)
select count(*) from deleted;

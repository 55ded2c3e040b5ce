-- Erasing accounts (sql/functions/erasure.sql).

-- name: begin_erasure
select begin_erasure(:account_id, :password_hash, :now);

-- name: repeat_erasure
select repeat_erasure(:account_id)::text;

-- name: unfinished_lessons
-- The account's lessons and holds that have not started, in both roles.
select b.id, b.instructor_id, b.state::text as state, lower(b.during) as starts_at
from booking b
where b.student_id = :account_id and b.state in ('held', 'confirmed') and lower(b.during) > :now
union all
select b.id, b.instructor_id, b.state::text, lower(b.during)
from booking b
where b.instructor_id = :account_id and b.state in ('held', 'confirmed') and lower(b.during) > :now
order by 4, 1
limit :limit;

-- name: erase_texts
select erase_texts(:account_id, :reason, :limit);

-- name: erase_mail
select erase_mail(:account_id, :now);

-- name: erase_answers
select erase_answers(:account_id)::text;

-- name: finish_erasure
-- Does nothing while lessons that have not started are left.
update account set erased_at = coalesce(erased_at, :now)
where id = :account_id and erasure_began_at is not null and not exists (
  select from booking b
  where b.student_id = :account_id and b.state in ('held', 'confirmed')
    and lower(b.during) > :now
) and not exists (
  select from booking b
  where b.instructor_id = :account_id and b.state in ('held', 'confirmed')
    and lower(b.during) > :now
);

-- name: forget_former_name
-- Does nothing until all mails about the erasure are sent, or it began before :before.
update account set former_name = null
where id = :account_id and former_name is not null
  and (erasure_began_at < :before or erased_at is not null and not exists (
    select from notifications_about(:account_id) n
    where n.recipient_id <> :account_id
      and n.sent_at is null and n.given_up_at is null and n.withheld_at is null
  ))
returning id;

-- name: accounts_to_erase
-- Erasures that were interrupted, and those that ended since :since: a request that was under way
-- may have written something since.
select id from account
where erasure_began_at is not null
  and (erased_at is null or erased_at > :since or former_name is not null)
order by erasure_began_at
limit 100;

-- name: name_of_erased
select name_of_erased(:account_id);

-- Erasing an account (app/privacy/erasure.py). Every function locks in the order of all writers:
-- the account's row, then calendars by id.

-- The name that others see instead of the account's.
create function name_of_erased(p_account uuid) returns text
language plpgsql stable as $$
begin
  return case
    when not exists (select from instructor i where i.id = p_account) then 'Former student'
    when exists (select from booking b where b.student_id = p_account) then 'Former member'
    else 'Former instructor'
  end;
end
$$;

-- Makes the account anonymous, ends its sessions and deletes what only it uses. Keeps its name for
-- the mails to the other people of its lessons (forget_former_name). p_password_hash: the password
-- that was checked; null if none was. Returns a refusal, or null; also null for an account whose
-- erasure began earlier.
create function begin_erasure(p_account uuid, p_password_hash text, p_now timestamptz)
returns text
language plpgsql volatile set enable_seqscan = off as $$
declare
  v_account account;
begin
  -- Locks all admins, so that the last two cannot leave at the same time.
  perform from account a
  where a.id = p_account or a.id in (
    select r.account_id from account_role r
    where r.role = 'admin' and exists (
      select from account_role own where own.account_id = p_account and own.role = 'admin'))
  order by a.id for update;
  select a.* into v_account from account a where a.id = p_account;
  if v_account.id is null then
    return 'NOT_FOUND';
  elsif v_account.erasure_began_at is null and v_account.password_hash <> p_password_hash then
    return 'PASSWORD_CHANGED';
  elsif exists (
    select from account_role r where r.account_id = p_account and r.role = 'admin'
  ) and not exists (
    select from account_role r where r.account_id <> p_account and r.role = 'admin'
  ) then
    return 'LAST_ADMIN';
  end if;
  -- Also for the update of the name, which rewrites the search documents of the services.
  perform from calendar c where c.instructor_id = p_account for no key update;
  if v_account.erasure_began_at is null then
    update account
    set email = p_account || '@erased.invalid', full_name = name_of_erased(p_account),
        former_name = full_name,
        password_hash = '', verified_at = null, time_zone = default, clock = default,
        erasure_began_at = p_now
    where id = p_account;
  end if;
  perform delete_own_rows(p_account);
  return null;
end
$$;

-- Deletes what a request that was under way has written to an erased account.
create function repeat_erasure(p_account uuid) returns void
language plpgsql volatile set enable_seqscan = off as $$
begin
  perform from account a
  where a.id = p_account and a.erasure_began_at is not null for no key update;
  if found then
    perform from calendar c where c.instructor_id = p_account for no key update;
    perform delete_own_rows(p_account);
  end if;
end
$$;

-- Deletes the rows that belong to one account alone, and empties its profile. The caller has locked
-- account and calendar.
create function delete_own_rows(p_account uuid) returns void
language plpgsql volatile as $$
declare
  v_changed boolean;
begin
  delete from session where account_id = p_account;
  delete from account_role where account_id = p_account;
  delete from removed_role where account_id = p_account;
  delete from totp where account_id = p_account;
  delete from calendar_feed where account_id = p_account;
  delete from notification_preference where account_id = p_account;
  delete from idempotency_key where account_id = p_account;
  delete from search_history where visitor_id = p_account;
  delete from search where visitor_id = p_account;
  delete from search_interaction where visitor_id = p_account;

  delete from instructor_area where instructor_id = p_account;
  update instructor set headline = '', bio = '', years_experience = 0, teaching_address = ''
  where id = p_account and (headline, bio, years_experience, teaching_address) <> ('', '', 0, '');
  delete from blackout where instructor_id = p_account;
  delete from edited_week where instructor_id = p_account;
  delete from standing_pattern where instructor_id = p_account;
  delete from next_start where instructor_id = p_account;
  -- Bookings refer to services.
  delete from service s
  where s.instructor_id = p_account
    and not exists (select from booking b where b.service_id = s.id);
  update service set description = '', is_active = false
  where instructor_id = p_account and (is_active or description <> '');
  v_changed := found;
  delete from availability where instructor_id = p_account;
  v_changed := v_changed or found;
  update calendar set is_active = false where instructor_id = p_account and is_active;
  if found or v_changed then
    perform step(p_account, '{}');  -- makes watchers reload the board
  end if;
end
$$;

-- Whether a booking has text that somebody wrote, or the account's own address. p_reason, with
-- which the erasure cancels lessons, does not count.
create function has_personal_text(p_booking booking, p_account uuid, p_reason text)
returns boolean
language sql stable as $$
  select p_booking.note <> '' or p_booking.instructor_note <> ''
      or p_booking.cancel_reason not in ('', p_reason)
      or p_booking.location <> ''
         and (p_booking.location_type = 'instructor') = (p_booking.instructor_id = p_account)
      or exists (
        select from booking_audit a
        where a.booking_id = p_booking.id and a.reason not in ('', p_reason))
$$;

-- Deletes the texts in up to p_limit bookings of the account, and returns the number of bookings.
-- The other person's texts go too, because they may contain names; an address of theirs stays.
create function erase_texts(p_account uuid, p_reason text, p_limit integer) returns integer
language plpgsql volatile set enable_seqscan = off as $$
declare
  v_bookings uuid[] := array(
    select b.id from booking b
    where b.student_id = p_account and has_personal_text(b, p_account, p_reason)
    union all
    select b.id from booking b
    where b.instructor_id = p_account and has_personal_text(b, p_account, p_reason)
    limit p_limit);
begin
  perform from calendar c
  where c.instructor_id in (select b.instructor_id from booking b where b.id = any (v_bookings))
  order by c.instructor_id for no key update;
  update booking b
  set note = '', instructor_note = '',
      cancel_reason = case b.cancel_reason when p_reason then p_reason else '' end,
      location = case
        when (b.location_type = 'instructor') = (b.instructor_id = p_account) then ''
        else b.location end
  where b.id = any (v_bookings);
  update booking_audit a set reason = ''
  where a.booking_id = any (v_bookings) and a.reason not in ('', p_reason);
  return cardinality(v_bookings);
end
$$;

-- The notifications about an account's bookings, to either person, and its own others.
create function notifications_about(p_account uuid) returns setof notification
language sql stable rows 100 as $$
  select n.* from notification n where n.recipient_id = p_account and n.booking_id is null
  union all
  select n.*
  from (
    select b.id from booking b where b.student_id = p_account
    union all
    select b.id from booking b where b.instructor_id = p_account
  ) as own
  join notification n on n.booking_id = own.id
$$;

-- Drops the account's notifications that were not sent, clears the addresses of all, and deletes
-- stored mails: its own, and those to others that have its name. Skips notifications that are being
-- sent now, and returns their number.
create function erase_mail(p_account uuid, p_now timestamptz) returns integer
language plpgsql volatile set enable_seqscan = off as $$
declare
  v_began timestamptz := (select a.erasure_began_at from account a where a.id = p_account);
begin
  update notification n
  set address = null, last_error = null, withheld_at = null,
      given_up_at = case when n.sent_at is null then coalesce(n.given_up_at, p_now) end,
      dropped_reason = case when n.sent_at is null then 'account_erased' end
  where n.id = any (array(
    select x.id from notification x
    where x.id = any (array(
        select y.id from notifications_about(p_account) y
        where y.recipient_id = p_account and needs_erasure(y)))
    for no key update skip locked));
  delete from dev_mail m
  where m.notification_id = any (array(
      select n.id from notifications_about(p_account) n
      where n.recipient_id = p_account or n.kind <> 'booking_cancelled'))
    or m.created_at < v_began and m.notification_id = any (array(
      select n.id from notifications_about(p_account) n));
  return (
    select count(*) from notifications_about(p_account) n
    where n.recipient_id = p_account and needs_erasure(n));
end
$$;

create function needs_erasure(p_notification notification) returns boolean
language sql immutable as $$
  select p_notification.address is not null or p_notification.last_error is not null
      or p_notification.withheld_at is not null
      or p_notification.sent_at is null
         and (p_notification.given_up_at is null
              or p_notification.dropped_reason is distinct from 'account_erased')
$$;

-- Removes the account's name and texts from the answers that others, such as staff, stored for
-- their Idempotency-Keys. A repeated call still gets its answer.
create function erase_answers(p_account uuid) returns void
language plpgsql volatile set enable_seqscan = off as $$
begin
  update idempotency_key k
  set answer = k.answer || jsonb_build_object(
    'note', '', 'instructor_note', '', 'cancel_reason', '',
    side || '_name', (select a.full_name from account a where a.id = p_account),
    'location', case
      when (k.answer ->> 'location_type' = 'instructor') = (side = 'instructor') then ''
      else k.answer ->> 'location' end)
  from (
    select distinct h.actor_id as id
    from (
      select b.id from booking b where b.student_id = p_account
      union all
      select b.id from booking b where b.instructor_id = p_account
    ) as own
    join booking_audit h on h.booking_id = own.id
  ) as actor,
  unnest(array['student', 'instructor']) as side
  where k.account_id = actor.id and k.answer ->> (side || '_id') = p_account::text;
end
$$;

-- Gives an account exactly these roles. Both accounts are locked, so the actor is still an admin
-- when the change commits, and one admin always remains. A new instructor gets a profile and a
-- calendar. An account that is no longer an instructor gets no new bookings; its booked lessons
-- stay. Only an admin can give back a removed role.
create function set_roles(
  p_actor uuid, p_account uuid, p_roles text[],
  out refusal text, out added text[], out removed text[]
)
language plpgsql volatile as $$
declare
  v_before text[];
begin
  perform from account a where a.id in (p_actor, p_account) order by a.id for no key update;
  v_before := array(select r.role from account_role r where r.account_id = p_account);
  refusal := case
    when not exists (
      select from account_role r join role_permission p on p.role = r.role
      where r.account_id = p_actor and p.permission = 'manage_roles'
    ) then 'NOT_ALLOWED'
    when not exists (
      select from account a where a.id = p_account and a.erasure_began_at is null
    ) then 'NOT_FOUND'
    when p_actor = p_account and 'admin' <> all (p_roles) then 'OWN_ADMIN_ROLE'
  end;
  if refusal is not null then
    return;
  end if;
  added := array(select unnest(p_roles) except select unnest(v_before) order by 1);
  removed := array(select unnest(v_before) except select unnest(p_roles) order by 1);
  delete from account_role r where r.account_id = p_account and r.role = any (removed);
  insert into removed_role (account_id, role) select p_account, unnest(removed)
  on conflict do nothing;
  delete from removed_role r where r.account_id = p_account and r.role = any (p_roles);
  insert into account_role (account_id, role) select p_account, unnest(added);
  if 'instructor' = any (added) then
    perform insert_instructor(p_account);
    perform set_teaching(p_account, true);
  elsif 'instructor' = any (removed) then
    perform set_teaching(p_account, false);
  end if;
end
$$;

-- Gives an account a role at its own request. Refused if an admin has removed it.
create function take_role(p_account uuid, p_role text, out is_refused boolean, out is_new boolean)
language plpgsql volatile as $$
begin
  perform from account a where a.id = p_account for no key update;
  is_refused := exists (
    select from removed_role r where r.account_id = p_account and r.role = p_role);
  is_new := false;
  if is_refused then
    return;
  end if;
  insert into account_role (account_id, role) values (p_account, p_role) on conflict do nothing;
  is_new := found;
  if p_role = 'instructor' then
    perform insert_instructor(p_account);
  end if;
end
$$;

-- The profile and the calendar of a new instructor.
create function insert_instructor(p_account uuid) returns void
language plpgsql volatile as $$
begin
  insert into instructor (id) values (p_account) on conflict do nothing;
  insert into calendar (instructor_id, time_zone)
  select a.id, a.time_zone from account a where a.id = p_account
  on conflict (instructor_id) do nothing;
end
$$;

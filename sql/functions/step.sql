-- The epoch changes whenever the database's history may have been rewound: another cluster, another timeline (restore to a point
-- in time, failover), or an operator's `python -m app new-epoch` after restoring a dump.
create or replace function epoch() returns text
language sql stable as $$
  select left(md5(concat_ws('.', site.epoch_seed, control.system_identifier, left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))), 16)
  from site, pg_control_system() as control
$$;

-- One step of a calendar, whose row the caller has locked: the version rises by one, and the outbox says which board days
-- look how now. p_events: [{"event", "previous_version", "booking": a booking_detail row}]. A step without dates and events says
-- that something else about the board changed: watchers get a fresh one.
create or replace function step(p_instructor uuid, p_dates date[], p_events jsonb default '[]') returns bigint
language plpgsql volatile as $$
declare
  v_version bigint;
begin
  update calendar c set version = c.version + 1 where c.instructor_id = p_instructor returning c.version into strict v_version;
  insert into outbox (instructor_id, version, days, events)
  values (p_instructor, v_version, board_days(p_instructor, p_dates), p_events);
  return v_version;
end
$$;

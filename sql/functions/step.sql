-- The epoch changes whenever the database's history may have been rewound: a new cluster, a new
-- timeline (point-in-time restore, failover), or an operator's `python -m app new-epoch` after
-- restoring a dump. A standby has the epoch of its primary.
create function epoch() returns text
language sql stable as $$
  select left(md5(concat_ws('.', site.epoch_seed, control.system_identifier, timeline())), 16)
  from site, pg_control_system() as control
$$;

-- The timeline, as in the names of WAL files. A standby cannot compute those names, so it returns
-- the timeline that it receives; without a stream, or if the role lacks pg_read_all_stats, the
-- timeline on its disk, which lags a little.
create function timeline() returns text
language plpgsql stable as $$
begin
  if not pg_is_in_recovery() then
    return left(pg_walfile_name(pg_current_wal_insert_lsn()), 8);
  end if;
  return (
    select lpad(upper(to_hex(greatest(
             (select received_tli from pg_stat_wal_receiver),
             checkpoint.timeline_id, recovery.min_recovery_end_timeline))), 8, '0')
    from pg_control_checkpoint() as checkpoint, pg_control_recovery() as recovery
  );
end
$$;

-- One step of a calendar, whose row the caller has locked: the version rises by one, and the outbox
-- gets the new content of the board's altered days. p_events: see booking_event. A step without
-- dates and events makes watchers reload the board. So does a step of more than 60 dates, because
-- their content would be larger than a board; such a step cannot have events.
create function step(p_instructor uuid, p_dates date[], p_events jsonb default '[]')
returns bigint
language plpgsql volatile as $$
declare
  v_version bigint;
begin
  if cardinality(p_dates) > 60 and p_events <> '[]' then
    raise exception 'a step of % dates cannot have events', cardinality(p_dates);
  end if;
  with calendar_step as (
    update calendar c set version = c.version + 1 where c.instructor_id = p_instructor
    returning c.instructor_id, c.version
  ), queued as (
    insert into outbox_unpublished (instructor_id, version)
    select s.instructor_id, s.version from calendar_step s
  )
  insert into outbox (instructor_id, version, days, events)
  select s.instructor_id, s.version,
         board_days(p_instructor, case when cardinality(p_dates) <= 60 then p_dates else '{}' end),
         p_events
  from calendar_step s
  returning version into strict v_version;
  return v_version;
end
$$;

-- One event of a change. It passes through Redis, so it contains ids and no personal data.
-- previous_version is the booking's version before the change (0: a new booking). A reader adds up
-- the differences to detect missing events.
create function booking_event(p_event text, p_booking booking, p_previous_version bigint)
returns jsonb
language sql stable as $$
  select jsonb_build_object(
    'event', p_event, 'booking_id', p_booking.id, 'student_id', p_booking.student_id,
    'instructor_id', p_booking.instructor_id, 'previous_version', p_previous_version
  )
$$;

-- Records a booking's change in one statement: the audit, the notifications to student and
-- instructor (unless p_kind is null), and the step of its calendar, as in step(); p_days are the
-- altered days of the board (board_days), p_override the rules that staff has overridden.
create function record_change(
  p_booking booking, p_actor uuid, p_event text, p_from text, p_kind text,
  p_days jsonb, p_events jsonb, p_now timestamptz, p_reason text default '',
  p_override text[] default '{}'
) returns void
language plpgsql volatile as $$
begin
  with audit as (
    insert into booking_audit (
      booking_id, at, actor_id, event, from_state, to_state, reason, starts_at, override)
    values (p_booking.id, p_now, p_actor, p_event, p_from, p_booking.state, p_reason,
            lower(p_booking.during), p_override)
  ), notifications as (
    insert into notification (kind, recipient_id, booking_id, sequence, due_at)
    select p_kind, recipient, p_booking.id, p_booking.sequence, p_now
    from (values (p_booking.student_id), (p_booking.instructor_id)) as recipients (recipient)
    where p_kind is not null
  ), calendar_step as (
    update calendar c set version = p_booking.version
    where c.instructor_id = p_booking.instructor_id
  ), queued as (
    insert into outbox_unpublished (instructor_id, version)
    values (p_booking.instructor_id, p_booking.version)
  )
  insert into outbox (instructor_id, version, days, events)
  values (p_booking.instructor_id, p_booking.version, p_days, p_events);
end
$$;

-- Ends a hold that p_actor gives up, or that has expired, which the audit records without an actor.
-- The caller has locked its calendar and makes the step to p_version. Returns null if it is no
-- longer held.
create function end_hold(p_booking uuid, p_version bigint, p_actor uuid, p_now timestamptz)
returns booking
language plpgsql volatile as $$
declare
  v_booking booking;
begin
  update booking b set state = 'expired', version = p_version
  where b.id = p_booking and b.state = 'held'
  returning b.* into v_booking;
  if found then
    insert into booking_audit (booking_id, at, actor_id, event, from_state, to_state, starts_at)
    values (v_booking.id, p_now, case when v_booking.held_until > p_now then p_actor end,
            'expired', 'held', 'expired', lower(v_booking.during));
    perform forget_next_start(v_booking.instructor_id);
  end if;
  return v_booking;
end
$$;

-- Moves a confirmed lesson, under all the rules of a new one. The old time is free as soon as the
-- new one is taken. A null p_minutes keeps the lesson's length, even if it is no longer offered.
-- Moving a lesson back within the grace period undoes the last move: it needs no notice, restores
-- the free cancellation, and its length need not be offered anymore.
create function reschedule_booking(
  p_student uuid, p_booking uuid, p_start timestamptz, p_minutes integer, p_now timestamptz,
  p_key text, p_fingerprint bytea,
  out refusal text, out detail jsonb, out booking jsonb
)
language plpgsql volatile
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
as $$
declare
  v_before   booking;
  v_after    booking;
  v_service  service;
  v_calendar calendar;
  v_locked   record;
  v_conflict uuid;
  v_replaces boolean;
  v_length   integer;
  v_minutes  integer;
  v_during   tstzrange;
  v_blocked  tstzrange;
  v_undoes   boolean;
  v_dates    date[];
  v_events   jsonb := '[]';
begin
  perform from account a where a.id = p_student for no key update;
  select b.* into v_before from booking b where b.id = p_booking;
  v_length := extract(epoch from upper(v_before.during) - lower(v_before.during)) / 60;
  v_minutes := coalesce(p_minutes, v_length);
  v_during := tstzrange(p_start, p_start + make_interval(mins => v_minutes));
  perform lock_conflicting_calendars(p_student, v_before.instructor_id, v_during, p_now);
  v_locked := lock_booking(p_student, p_booking, p_key, p_fingerprint, p_now);
  v_before := v_locked.booking;
  refusal := coalesce(v_locked.refusal, case
    when v_before.state <> 'confirmed' then 'WRONG_STATE'
    when lower(v_before.during) <= p_now then 'TOO_LATE' end);
  if v_locked.answer is not null or refusal is not null then
    booking := v_locked.answer;
    detail := state_detail(refusal, v_before);
    return;
  end if;
  if v_before.during = v_during then
    booking := answer_of(p_booking, p_student, p_key, p_fingerprint, p_now);
    return;
  end if;

  v_calendar := v_locked.calendar;
  v_blocked := blocked_time(v_during, v_calendar);
  v_undoes := coalesce(
    v_before.moved_from = v_during and p_now <= v_before.moved_at + cancellation_grace(), false);
  if v_undoes then
    v_calendar.min_advance_minutes := 0;
  end if;
  select s.* into v_service from service s where s.id = v_before.service_id;
  if v_minutes = v_length or v_undoes then
    v_service.durations_minutes := v_service.durations_minutes || v_minutes;
  end if;
  refusal := lesson_refusal(
    p_student, v_service, v_calendar, p_start, v_minutes, null, null, p_now);
  if refusal is null then
    select c.id, c.refusal, c.is_replaced into v_conflict, refusal, v_replaces
    from conflicting_booking(
      v_before.instructor_id, p_student, v_during, v_blocked, p_now, p_booking) c;
    refusal := coalesce(refusal, case
      when not is_available(v_before.instructor_id, v_during, v_calendar.time_zone)
      then 'OUTSIDE_AVAILABILITY' end);
  end if;
  if refusal is not null then
    detail := refusal_detail(
      refusal, v_conflict, p_student, v_service, v_calendar, v_during, null, p_now);
    return;
  end if;

  v_dates := board_dates(v_before.during, v_before.blocked, v_calendar)
    || board_dates(v_during, v_blocked, v_calendar);
  if v_replaces then
    select e.dates, e.events into v_dates, v_events
    from release_replaced_holds(
      v_calendar, p_student, v_during, v_blocked, false, v_dates, p_now, p_student) e;
  end if;
  update booking b
  set during = v_during, blocked = v_blocked,
      price_cents = (b.hourly_rate_cents * v_minutes + 30) / 60,
      free_cancel_until = case
        when v_undoes then b.moved_free_cancel_until
        when p_now > b.free_cancel_until then b.free_cancel_until  -- late stays late
        else least(p_start, greatest(p_start - make_interval(hours => b.free_cancel_hours),
                                     booked_at(b) + cancellation_grace()))
      end,
      -- An undo cannot be undone: otherwise, moving back and forth would evade the notice forever.
      moved_at = case when not v_undoes then p_now end,
      moved_from = b.during, moved_free_cancel_until = b.free_cancel_until,
      sequence = b.sequence + 1, version = v_calendar.version + 1
  where b.id = p_booking
  returning b.* into v_after;
  perform record_change(
    v_after, p_student, 'rescheduled', 'confirmed', 'booking_rescheduled',
    board_days(v_after.instructor_id, array(select distinct d from unnest(v_dates) as d)),
    v_events || booking_event('rescheduled', v_after, v_before.version), p_now);
  perform forget_next_start(v_after.instructor_id);
  booking := answer_of(p_booking, p_student, p_key, p_fingerprint, p_now);
end
$$;

-- When a lesson was booked: for one that began as a hold, its confirmation.
create function booked_at(p_booking booking) returns timestamptz
language sql stable as $$
  select coalesce(max(a.at), p_booking.created_at)
  from booking_audit a
  where a.booking_id = p_booking.id and a.event = 'confirmed'
$$;

-- Cancels a confirmed lesson and frees its time. The caller has checked that the actor may cancel
-- it.
create function cancel_booking(
  p_actor uuid, p_booking uuid, p_reason text, p_now timestamptz,
  p_key text default null, p_fingerprint bytea default null,
  out refusal text, out detail jsonb, out booking jsonb
)
language plpgsql volatile set plan_cache_mode = force_generic_plan as $$
declare
  v_calendar calendar;
  v_booking  booking;
  v_previous bigint;
begin
  -- A booking's instructor never changes, so the calendar can be read before it is locked.
  select c.* into v_calendar from calendar c
  where c.instructor_id = (select b.instructor_id from booking b where b.id = p_booking)
  for no key update;
  if not found then
    refusal := 'NOT_FOUND';
    return;
  end if;
  -- A concurrent repeat of this call waited for the lock until the first call had finished.
  if p_key is not null then
    select k.answer into booking from stored_answer(p_actor, p_key, p_fingerprint, p_now) k;
    if found then
      refusal := case when booking is null then 'IDEMPOTENCY_MISMATCH' end;
      return;
    end if;
  end if;
  select b.* into v_booking from booking b where b.id = p_booking;
  if v_booking.state <> 'confirmed' then
    refusal := 'WRONG_STATE';
    detail := jsonb_build_object('state', v_booking.state);
    return;
  elsif lower(v_booking.during) <= p_now then
    refusal := 'TOO_LATE';
    return;
  end if;
  v_previous := v_booking.version;
  update booking b
  set state = 'cancelled', late = p_now > b.free_cancel_until, cancel_reason = p_reason,
      version = v_calendar.version + 1
  where b.id = p_booking
  returning b.* into v_booking;
  perform record_change(
    v_booking, p_actor, 'cancelled', 'confirmed', 'booking_cancelled',
    board_days(v_booking.instructor_id,
               board_dates(v_booking.during, v_booking.blocked, v_calendar)),
    jsonb_build_array(booking_event('cancelled', v_booking, v_previous)), p_now);
  perform forget_next_start(v_booking.instructor_id);
  booking := booking_json(p_booking);
  if p_key is not null then
    perform store_answer(p_actor, p_key, p_fingerprint, booking, p_now);
  end if;
end
$$;

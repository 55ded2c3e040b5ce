-- Cancels a confirmed lesson and frees its time. The caller has checked that the actor may cancel
-- it.
create function cancel_booking(
  p_actor uuid, p_booking uuid, p_reason text, p_now timestamptz,
  p_key text default null, p_fingerprint bytea default null,
  out refusal text, out detail jsonb, out booking jsonb
)
language plpgsql volatile set plan_cache_mode = force_generic_plan as $$
declare
  v_locked  record := lock_booking(p_actor, p_booking, p_key, p_fingerprint, p_now);
  v_booking booking := v_locked.booking;
begin
  refusal := coalesce(v_locked.refusal, case
    when v_booking.state <> 'confirmed' then 'WRONG_STATE'
    when lower(v_booking.during) <= p_now then 'TOO_LATE' end);
  if v_locked.answer is not null or refusal is not null then
    booking := v_locked.answer;
    detail := state_detail(refusal, v_booking);
    return;
  end if;
  update booking b
  set state = 'cancelled', late = p_now > b.free_cancel_until, cancel_reason = p_reason,
      version = (v_locked.calendar).version + 1
  where b.id = p_booking
  returning b.* into v_booking;
  perform record_change(
    v_booking, p_actor, 'cancelled', 'confirmed', 'booking_cancelled',
    board_days(v_booking.instructor_id,
               board_dates(v_booking.during, v_booking.blocked, v_locked.calendar)),
    jsonb_build_array(booking_event('cancelled', v_booking, (v_locked.booking).version)), p_now,
    p_reason);
  perform forget_next_start(v_booking.instructor_id);
  booking := answer_of(p_booking, p_actor, p_key, p_fingerprint, p_now);
end
$$;

-- Whether the student undid a booking within the grace period, so that it counts in no statistics.
create function was_undone(p_booking uuid, p_student uuid) returns boolean
language sql stable as $$
  select exists (
    select from booking_audit c
    join booking_audit b on b.booking_id = c.booking_id
    where c.booking_id = p_booking and c.event = 'cancelled' and c.actor_id = p_student
      and b.event in ('created', 'confirmed') and b.to_state = 'confirmed'
      and c.at <= b.at + cancellation_grace()
  )
$$;

-- The outcome of a lesson, and the instructor's note. They change nothing on the board, so their
-- steps have no days. sweep.sql completes lessons without a recorded outcome.

-- Marks a confirmed lesson that has started as `completed` or `no_show`.
create function record_outcome(
  p_instructor uuid, p_booking uuid, p_state text, p_reason text, p_now timestamptz,
  p_key text, p_fingerprint bytea,
  out refusal text, out detail jsonb, out booking jsonb
)
language plpgsql volatile set plan_cache_mode = force_generic_plan as $$
declare
  v_locked  record := lock_booking(p_instructor, p_booking, p_key, p_fingerprint, p_now);
  v_booking booking := v_locked.booking;
begin
  refusal := coalesce(v_locked.refusal, case
    when v_booking.state <> 'confirmed' then 'WRONG_STATE'
    when lower(v_booking.during) > p_now then 'TOO_SOON' end);
  if v_locked.answer is not null or refusal is not null then
    booking := v_locked.answer;
    detail := state_detail(refusal, v_booking);
    return;
  end if;
  update booking b set state = p_state, version = (v_locked.calendar).version + 1
  where b.id = p_booking
  returning b.* into v_booking;
  perform record_change(
    v_booking, p_instructor, p_state, 'confirmed', null, '{}',
    jsonb_build_array(booking_event(p_state, v_booking, (v_locked.booking).version)), p_now,
    p_reason);
  booking := answer_of(p_booking, p_instructor, p_key, p_fingerprint, p_now);
end
$$;

-- Replaces the instructor's private note.
create function note_booking(
  p_instructor uuid, p_booking uuid, p_note text, p_now timestamptz,
  p_key text, p_fingerprint bytea,
  out refusal text, out detail jsonb, out booking jsonb
)
language plpgsql volatile set plan_cache_mode = force_generic_plan as $$
declare
  v_locked  record := lock_booking(p_instructor, p_booking, p_key, p_fingerprint, p_now);
  v_booking booking := v_locked.booking;
begin
  refusal := v_locked.refusal;
  if v_locked.answer is not null or refusal is not null then
    booking := v_locked.answer;
    return;
  end if;
  update booking b set instructor_note = p_note, version = (v_locked.calendar).version + 1
  where b.id = p_booking
  returning b.* into v_booking;
  perform record_change(
    v_booking, p_instructor, 'noted', v_booking.state, null, '{}',
    jsonb_build_array(booking_event('noted', v_booking, (v_locked.booking).version)), p_now);
  booking := answer_of(p_booking, p_instructor, p_key, p_fingerprint, p_now);
end
$$;

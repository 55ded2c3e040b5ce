-- The first and the last step of every change of an existing booking.

-- Locks the booking's calendar and reads the booking. With a key, `answer` is what an earlier call
-- stored: a concurrent repeat waits here until the first call has finished.
create function lock_booking(
  p_actor uuid, p_booking uuid, p_key text, p_fingerprint bytea, p_now timestamptz,
  out refusal text, out answer jsonb, out calendar calendar, out booking booking
)
language plpgsql volatile as $$
begin
  -- A booking's instructor never changes, so the calendar can be read before it is locked.
  select c.* into calendar from calendar c
  where c.instructor_id = (select b.instructor_id from booking b where b.id = p_booking)
  for no key update;
  if not found then
    refusal := 'NOT_FOUND';
    return;
  end if;
  if p_key is not null then
    select k.answer into answer from stored_answer(p_actor, p_key, p_fingerprint, p_now) k;
    if found then
      refusal := case when answer is null then 'IDEMPOTENCY_MISMATCH' end;
      return;
    end if;
  end if;
  select b.* into booking from booking b where b.id = p_booking;
end
$$;

-- The detail of a WRONG_STATE.
create function state_detail(p_refusal text, p_booking booking) returns jsonb
language sql immutable as $$
  select case p_refusal when 'WRONG_STATE' then jsonb_build_object('state', p_booking.state) end
$$;

-- The current booking. With a key, it is stored as the answer.
create function answer_of(
  p_booking uuid, p_actor uuid, p_key text, p_fingerprint bytea, p_now timestamptz
) returns jsonb
language plpgsql volatile as $$
declare
  v_answer jsonb := booking_json(p_booking);
begin
  if p_key is not null then
    perform store_answer(p_actor, p_key, p_fingerprint, v_answer, p_now);
  end if;
  return v_answer;
end
$$;

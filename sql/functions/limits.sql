-- The limits that rules depend on, defined once. tests/bookings/test_rules.py compares them with
-- Python's.

-- How far ahead a lesson may start.
create function booking_horizon() returns interval
language sql immutable parallel safe as $$ select interval '90 days' $$;

-- How far ahead availability may be edited, in days.
create function availability_horizon_days() returns integer
language sql immutable parallel safe as $$ select 730 $$;

-- How long after booking a cancellation is free, regardless of the instructor's policy.
create function cancellation_grace() returns interval
language sql immutable parallel safe as $$ select interval '5 minutes' $$;

-- How many holds a student may have at once.
create function max_holds() returns integer
language sql immutable parallel safe as $$ select 3 $$;

-- How long after its end a lesson without a recorded outcome is completed.
create function completion_delay() returns interval
language sql immutable parallel safe as $$ select interval '24 hours' $$;

-- How long an Idempotency-Key is valid.
create function idempotency_key_life() returns interval
language sql immutable parallel safe as $$ select interval '24 hours' $$;

-- Whether a notification is to be sent now. None is ever postponed by more than a night, so one
-- that seems to be due much later was stored by a clock that was ahead.
create function is_due(p_due_at timestamptz, p_now timestamptz) returns boolean
language sql immutable parallel safe as $$
  select p_due_at <= p_now or p_due_at > p_now + interval '1 day'
$$;

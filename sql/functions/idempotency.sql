-- The Idempotency-Key: a repeated call gets the stored answer instead of a second effect. Only
-- successes are stored, in the transaction of the effect; a refusal stores no key.

-- The stored answer of an earlier call with this key: no row if there was none in the last 24 hours.
-- A null answer: the key was used for a different call.
create function stored_answer(
  p_account uuid, p_key text, p_fingerprint bytea, p_now timestamptz
) returns table (answer jsonb)
language sql stable as $$
  select case when k.fingerprint = p_fingerprint then k.answer end
  from idempotency_key k
  where k.account_id = p_account and k.key = p_key
    and k.created_at > p_now - idempotency_key_life()
$$;

-- Stores the answer of a call that succeeded. Should another call with the same key have been
-- quicker, this transaction is rolled back and runs again, and then finds the other's answer.
create function store_answer(
  p_account uuid, p_key text, p_fingerprint bytea, p_answer jsonb, p_now timestamptz
) returns void
language plpgsql volatile as $$
begin
  insert into idempotency_key as k (account_id, key, fingerprint, answer, created_at)
  values (p_account, p_key, p_fingerprint, p_answer, p_now)
  on conflict (account_id, key) do update
    set fingerprint = excluded.fingerprint, answer = excluded.answer, created_at = excluded.created_at
    where k.created_at <= excluded.created_at - idempotency_key_life();
  if not found then
    raise exception 'idempotency key of account % was used by a concurrent call', p_account
      using errcode = 'serialization_failure';
  end if;
end
$$;

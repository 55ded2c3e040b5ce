-- The Idempotency-Key: a repeated call gets the stored answer and has no second effect. Only
-- successes are stored, in the same transaction as the effect; a refusal stores no key.

-- The stored answer of an earlier call with this key. No row: no such call in the last 24 hours.
-- A null answer: the key belongs to a different request.
create function stored_answer(
  p_account uuid, p_key text, p_fingerprint bytea, p_now timestamptz
) returns table (answer jsonb)
language sql stable as $$
  select case when k.fingerprint = p_fingerprint then k.answer end
  from idempotency_key k
  where k.account_id = p_account and k.key = p_key
    and k.created_at > p_now - idempotency_key_life()
$$;

-- Stores the answer of a successful call. If a concurrent call stored the same key first, this
-- transaction is rolled back and retried, and then returns the stored answer.
create function store_answer(
  p_account uuid, p_key text, p_fingerprint bytea, p_answer jsonb, p_now timestamptz
) returns void
language plpgsql volatile as $$
begin
  insert into idempotency_key as k (account_id, key, fingerprint, answer, created_at)
  values (p_account, p_key, p_fingerprint, p_answer, p_now)
  on conflict (account_id, key) do update
    set fingerprint = excluded.fingerprint, answer = excluded.answer,
        created_at = excluded.created_at
    where k.created_at <= excluded.created_at - idempotency_key_life();
  if not found then
    raise exception 'idempotency key of account % was used by a concurrent call', p_account
      using errcode = 'serialization_failure';
  end if;
end
$$;

-- Session defaults of this role in this database. They belong to the role because PgBouncer refuses
-- startup parameters that it does not know, and to this database because the role may use others.
-- A dump does not contain them, so `migrate` sets them each time.
do $$
declare
  v_setting text;
begin
  foreach v_setting in array array[
    -- Tables come first, and no other schema can shadow them.
    'search_path = public, code',
    'timezone = ''UTC''',
    'jit = off',
    -- Shorter than the client's timeout (app/db.py), so that the server cancels a slow statement
    -- and reports it.
    'statement_timeout = ''8s''',
    'lock_timeout = ''2s''',
    'idle_in_transaction_session_timeout = ''30s'''
  ] loop
    execute format('alter role current_user in database %I set %s', current_database(), v_setting);
  end loop;
end
$$;

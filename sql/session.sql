-- What every session of this role has in this database. Settings of the role instead of startup parameters, because PgBouncer
-- refuses those it does not know; in this database alone, because the role may use others. A dump does not hold them: `migrate`
-- sets them each time.
do $$
declare
  v_setting text;
begin
  foreach v_setting in array array[
    -- Tables first, and nothing that a schema of somebody's own could put in front of them.
    'search_path = public, code',
    'timezone = ''UTC''',
    'jit = off',
    -- Shorter than the client's time-out (app/db.py), so that the server ends a slow statement and says so.
    'statement_timeout = ''8s''',
    'lock_timeout = ''2s''',
    'idle_in_transaction_session_timeout = ''30s'''
  ] loop
    execute format('alter role current_user in database %I set %s', current_database(), v_setting);
  end loop;
end
$$;

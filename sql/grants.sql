-- The privileges of the role with which web processes, relay and worker connect, if it is not the
-- owner: it reads and writes rows, and cannot alter the schema, what roles permit, or the record of
-- migrations. `migrate` passes its name, and runs this each time, because it recreates the schema
-- `code`.
do $$
declare
  v_role text := current_setting('migrate.app_role');
begin
  execute format('grant usage on schema public, code to %I', v_role);
  execute format(
    'grant select, insert, update, delete on all tables in schema public to %I', v_role);
  execute format('grant usage on all sequences in schema public to %I', v_role);
  execute format('grant select on all tables in schema code to %I', v_role);
  execute format(
    'revoke insert, update, delete on migration, permission, role, role_permission from %I',
    v_role
  );
  -- For tables that the owner creates by hand.
  execute format('alter default privileges in schema public '
    'grant select, insert, update, delete on tables to %I', v_role);
  execute format(
    'alter default privileges in schema public grant usage on sequences to %I', v_role);
end
$$;

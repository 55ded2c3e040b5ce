-- Drops every constraint and index of `booking` and stores their definitions, so that a million
-- rows can be copied in at disk speed. Only for a bench database; guard.sql recreates them.
create table bench_definition (
  position integer generated always as identity,
  ddl      text not null
);

do $$
declare
  v_name text;
  v_ddl  text;
begin
  -- Foreign keys last, because they may depend on the primary key. Foreign keys of other tables
  -- to booking are included.
  for v_name, v_ddl in
    select format('alter table %s drop constraint %I cascade', c.conrelid::regclass, c.conname),
           format('alter table %s add constraint %I %s',
                  c.conrelid::regclass, c.conname, pg_get_constraintdef(c.oid))
    from pg_constraint c
    where (c.conrelid = 'booking'::regclass or c.confrelid = 'booking'::regclass)
      and c.contype <> 'n'
    order by array_position(array['p', 'u', 'x', 'c', 'f'], c.contype::text), c.conname
  loop
    insert into bench_definition (ddl) values (v_ddl);
    execute replace(v_name, 'drop constraint', 'drop constraint if exists');
  end loop;
  for v_name, v_ddl in
    select indexrelid::regclass::text, pg_get_indexdef(indexrelid)
    from pg_index where indrelid = 'booking'::regclass
  loop
    insert into bench_definition (ddl) values (v_ddl);
    execute format('drop index %s', v_name);
  end loop;
end
$$;

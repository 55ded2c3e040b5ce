-- What a database contains, for comparing a backup with its source: the rows of each table with a
-- hash that does not depend on their order, the sequences, and the definitions of everything else.
create function contents() returns table (name text, items bigint, hash text)
language plpgsql stable
set search_path = public, code
set timezone = 'UTC' set datestyle = 'ISO, YMD' set intervalstyle = 'postgres'
set extra_float_digits = 1 set bytea_output = 'hex' as $$
declare
  v_table regclass;
begin
  for v_table in
    select oid from pg_class
    where relnamespace = 'public'::regnamespace and relkind = 'r' order by relname
  loop
    name := 'table ' || v_table;
    execute format(
      'select count(*), coalesce(sum(hashtextextended(t::text, 0)), 0)::text from %s t', v_table)
    into items, hash;
    return next;
  end loop;
  return query
    select 'sequence ' || s.sequencename, coalesce(s.last_value, 0), ''
    from pg_sequences s where s.schemaname in ('public', 'code') order by s.sequencename;
  return query
    select d.kind, count(*), sum(hashtextextended(d.definition, 0))::text
    from (
      select 'columns' as kind, concat_ws(' ', attrelid::regclass, attname, atttypid::regtype,
        attnotnull, attidentity, attgenerated) as definition
      from pg_attribute a join pg_class c on c.oid = a.attrelid
      where c.relnamespace in ('public'::regnamespace, 'code'::regnamespace)
        and c.relkind in ('r', 'v') and a.attnum > 0 and not a.attisdropped
      union all
      select 'constraints', concat_ws(' ', conrelid::regclass, conname, pg_get_constraintdef(oid))
      from pg_constraint
      where connamespace in ('public'::regnamespace, 'code'::regnamespace)
      union all
      select 'indexes', pg_get_indexdef(i.indexrelid)
      from pg_index i join pg_class c on c.oid = i.indexrelid
      where c.relnamespace = 'public'::regnamespace
      union all
      select 'routines', pg_get_functiondef(p.oid)
      from pg_proc p where p.pronamespace = 'code'::regnamespace and p.prokind in ('f', 'p')
      union all
      select 'views', concat_ws(' ', c.relname, pg_get_viewdef(c.oid))
      from pg_class c where c.relnamespace = 'code'::regnamespace and c.relkind = 'v'
    ) d
    group by d.kind order by d.kind;
end
$$;

-- Recreates the constraints and indexes that unguard.sql dropped, as a restored dump would.
set maintenance_work_mem = '512MB';
set max_parallel_maintenance_workers = 2;

do $$
declare
  v_ddl text;
begin
  for v_ddl in select ddl from bench_definition order by position loop
    execute v_ddl;
  end loop;
end
$$;

drop table bench_definition;

-- The next start of each calendar and length, kept where it can be ordered by. SQL tells facts (what
-- is free, whether a start still is); which starts there are is laid out by app/availability/start_times.py.

-- The ranges that hold a lesson of so many minutes, as begin, end, begin, end.
create or replace function edges(p_free tstzmultirange, p_minutes integer) returns timestamptz[]
language plpgsql stable strict as $$
begin
  return array(
    select edge
    from unnest(p_free) as r, lateral (values (lower(r)), (upper(r))) as e (edge)
    where upper(r) - lower(r) >= make_interval(mins => p_minutes)
    order by edge
  );
end
$$;

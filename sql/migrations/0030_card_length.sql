-- Cards of the start page have the length of search results: the shortest on offer, which is free
-- soonest.
alter table service alter column card_minutes set expression as (durations_minutes[1]);

-- Mails of the last hour are counted for monitoring.
create index notification_sent on notification (sent_at) where sent_at is not null;

-- What is searched for, per day: no visitor, and only queries of several visitors. The empty query
-- stands for all others. A click counts once per search.
create table search_day (
  day      date not null,
  query    text not null constraint search_day_query_length check (length(query) <= 200),
  searches integer not null,
  visitors integer not null,
  empty    integer not null,  -- searches without results
  clicked  integer not null,  -- searches with at least one click
  booked   integer not null,
  primary key (day, query)
);
create index search_by_time on search (searched_at);
create index search_interaction_by_search on search_interaction (search_id);

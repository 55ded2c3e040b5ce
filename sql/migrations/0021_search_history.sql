-- What visitors search for: accounts, and guests, whom a signed cookie identifies. `visitor_id` is
-- the id of either. Without foreign keys, like the other ledgers.

-- The newest queries of each visitor, once each.
create table search_history (
  id          uuid primary key default uuidv7(),
  visitor_id  uuid not null,
  is_guest    boolean not null,
  query       text not null constraint search_history_query_length
    check (length(query) between 1 and 200),
  folded      text not null,  -- without case
  searched_at timestamptz not null,
  constraint search_history_once unique (visitor_id, folded)
);

-- Every search, so that interactions can be understood.
create table search (
  id          uuid primary key,
  visitor_id  uuid not null,
  is_guest    boolean not null,
  query       text not null,
  results     integer not null,
  searched_at timestamptz not null
);
create index search_of_visitor on search (visitor_id, searched_at);

create table search_interaction (
  id            bigint generated always as identity primary key,
  search_id     uuid not null,
  visitor_id    uuid not null,
  is_guest      boolean not null,
  instructor_id uuid not null,
  kind          text not null constraint search_interaction_kind
    check (kind in ('shown', 'hovered', 'clicked', 'booked')),
  at            timestamptz not null
);
create index search_interaction_of_visitor on search_interaction (visitor_id, id);

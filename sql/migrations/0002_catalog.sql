-- The catalog of services, instructors, their services and areas.

create table category (
  slug     text primary key,
  name     text not null,
  position integer not null
);

create table catalog_service (
  slug     text primary key,
  name     text not null,
  category text not null references category
);

create table area (
  slug    text primary key,
  name    text not null constraint area_name_once unique,
  borough text not null
);

create table instructor (
  id               uuid primary key references account on delete cascade,   -- the account's id
  headline         text not null default '',
  bio              text not null default '',
  years_experience integer not null default 0 constraint instructor_years
    check (years_experience between 0 and 80),
  created_at       timestamptz not null default now()
);

create table instructor_area (
  instructor_id uuid not null references instructor on delete cascade,
  area          text not null references area,
  primary key (instructor_id, area)
);

create table service (
  id                uuid primary key default uuidv7(),
  instructor_id     uuid not null references instructor on delete cascade,
  catalog_service   text not null references catalog_service,
  description       text not null default '',
  hourly_rate_cents integer not null constraint service_rate
    check (hourly_rate_cents between 100 and 100000),
  durations_minutes integer[] not null constraint service_durations
    check (cardinality(durations_minutes) between 1 and 10),
  location_types    text[] not null constraint service_location_types
    check (cardinality(location_types) > 0
           and location_types <@ array['student', 'instructor', 'public']),
  levels            text[] not null default '{}',
  audiences         text[] not null default '{}',
  is_active         boolean not null default true,
  created_at        timestamptz not null default now()
);
create unique index service_once_while_active
  on service (instructor_id, catalog_service) where is_active;
create index service_offered on service (catalog_service, id) where is_active;

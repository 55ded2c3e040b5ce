-- The weekly pattern by which the nightly job fills the coming weeks of an instructor. Shape of
-- `days`: {weekday 1–7 (Monday is 1): [{"start": "09:00", "end": "12:00"}, …]}.
create table standing_pattern (
  instructor_id uuid primary key references calendar on delete cascade,
  days          jsonb not null,
  updated_at    timestamptz not null
);

-- Nightly jobs. The row stores the last run, so that only one of several workers runs the job, and
-- a missed night is caught up.
create table nightly_job (
  name        text primary key,
  started_at  timestamptz not null,
  finished_at timestamptz
);

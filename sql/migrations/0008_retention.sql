-- Work that happens once a night. The row says when it last ran, so that several workers do it once, and a missed night is caught up.
create table nightly_job (
  name        text primary key,
  started_at  timestamptz not null,
  finished_at timestamptz
);

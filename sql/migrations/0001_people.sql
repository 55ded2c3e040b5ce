-- Accounts, their permissions and their sessions.

create extension if not exists citext;
create extension if not exists btree_gist;

-- One row. The seed is part of the epoch (functions/step.sql). After a restore, `python -m app
-- new-epoch` replaces it.
create table site (
  only_row   boolean primary key default true constraint site_one_row check (only_row),
  epoch_seed uuid not null default gen_random_uuid()
);
insert into site default values;

create table account (
  id            uuid primary key default uuidv7(),
  email         citext not null constraint account_email_taken unique,
  full_name     text not null constraint account_full_name_length
    check (length(full_name) between 1 and 200),
  password_hash text not null,
  time_zone     text not null default 'America/New_York',
  created_at    timestamptz not null default now()
);

create table role (name text primary key);

create table permission (
  name      text primary key,
  audience  text not null constraint permission_audience
    check (audience in ('shared', 'student', 'instructor', 'admin'))
);

create table role_permission (
  role       text not null references role,
  permission text not null references permission,
  primary key (role, permission)
);

create table account_role (
  account_id uuid not null references account on delete cascade,
  role       text not null references role,
  primary key (account_id, role)
);

create table session (
  id         uuid primary key default gen_random_uuid(),
  account_id uuid not null references account on delete cascade,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  revoked_at timestamptz
);
create index session_account on session (account_id) where revoked_at is null;

insert into role (name) values ('student'), ('instructor'), ('admin');

insert into permission (name, audience) values
  ('view_own_profile', 'shared'), ('edit_own_profile', 'shared'), ('delete_own_account', 'shared'),
  ('export_own_data', 'shared'), ('view_own_search_history', 'shared'),
  ('delete_own_search_history', 'shared'),
  ('search_instructors', 'student'), ('view_instructors', 'student'),
  ('create_bookings', 'student'), ('hold_times', 'student'), ('view_own_bookings', 'student'),
  ('cancel_own_bookings', 'student'),
  ('reschedule_own_bookings', 'student'), ('write_reviews', 'student'),
  ('manage_instructor_profile', 'instructor'), ('manage_services', 'instructor'),
  ('manage_availability', 'instructor'), ('manage_blackouts', 'instructor'),
  ('view_incoming_bookings', 'instructor'), ('cancel_student_bookings', 'instructor'),
  ('complete_bookings', 'instructor'), ('write_instructor_notes', 'instructor'),
  ('view_own_analytics', 'instructor'),
  ('view_accounts', 'admin'), ('manage_accounts', 'admin'), ('manage_roles', 'admin'),
  ('view_all_bookings', 'admin'), ('manage_all_bookings', 'admin'),
  ('view_system_analytics', 'admin'), ('view_monitoring', 'admin');

-- Every role has the shared permissions and its own.
insert into role_permission (role, permission)
select role.name, permission.name
from role join permission on permission.audience in ('shared', role.name);

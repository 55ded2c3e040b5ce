-- Roles that an admin has removed: the account cannot give them to itself again (take_role).
create table removed_role (
  account_id uuid not null references account on delete cascade,
  role       text not null references role,
  removed_at timestamptz not null default now(),
  primary key (account_id, role)
);

-- The name of an account that is being erased, until the other people of its lessons are told.
alter table account
  add column former_name text constraint account_former_name_of_erased
    check (former_name is null or erasure_began_at is not null);

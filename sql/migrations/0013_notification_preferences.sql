-- Which notifications an account has turned off, by kind. No row: they are sent.
create table notification_preference (
  account_id uuid not null references account on delete cascade,
  kind       notification_kind not null,
  email      boolean not null,
  primary key (account_id, kind)
);

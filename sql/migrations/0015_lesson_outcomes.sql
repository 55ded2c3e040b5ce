-- Why somebody cancelled, completed or missed a lesson.
alter table booking_audit add column reason short_text not null default '';

-- The calendar feed of an account, which calendar programs subscribe to. `id` is part of its signed
-- address; deleting the row revokes it.
create table calendar_feed (
  account_id uuid primary key references account on delete cascade,
  id         uuid not null default gen_random_uuid() constraint calendar_feed_id unique,
  created_at timestamptz not null
);

-- When the lesson was to start after each change, so that a move can be told with both times. Null
-- for earlier changes.
alter table booking_audit add column starts_at timestamptz;

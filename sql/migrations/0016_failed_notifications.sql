-- Why a notification was not sent although nothing failed: its content was no longer true, or its
-- recipient turned that kind off. Failures have a `last_error`, and are few.
alter table notification add column dropped_reason text;
update notification set dropped_reason = last_error
where given_up_at is not null and attempts = 0;
create index notification_failed on notification (id desc)
  where sent_at is null and attempts > 0 and dropped_reason is null;

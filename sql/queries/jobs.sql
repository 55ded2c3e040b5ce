-- Scheduled jobs.

-- name: claim_nightly_job
-- Claims the job unless a worker has finished it since :due_at or started it since :stale_at. (A
-- worker that started earlier has died.)
insert into nightly_job as j (name, started_at) values (:name, :now)
on conflict (name) do update set started_at = excluded.started_at
where (j.finished_at is null or j.finished_at < :due_at::timestamptz)
  and j.started_at < :stale_at::timestamptz
returning j.name;

-- name: release_nightly_job
-- Gives the claim of :started_at back: the job is due again.
update nightly_job set started_at = '-infinity' where name = :name and started_at = :started_at;

-- name: finish_nightly_job
update nightly_job set finished_at = :now where name = :name;

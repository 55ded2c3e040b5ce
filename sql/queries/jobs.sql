-- Work on a clock.

-- name: claim_nightly_job
-- The job, if nobody has finished it since it was last due, and nobody began it a moment ago. (Who began it earlier has died.)
insert into nightly_job as j (name, started_at) values (:name, :now)
on conflict (name) do update set started_at = excluded.started_at
where (j.finished_at is null or j.finished_at < :due_at::timestamptz) and j.started_at < :stale_at::timestamptz
returning j.name;

-- name: finish_nightly_job
update nightly_job set finished_at = :now where name = :name;

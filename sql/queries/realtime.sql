-- The live path: from the outbox to Redis (relay), and what the hub asks the database when messages may be missing.

-- name: try_relay_lock
-- Marks may be lost in a crash (a change is then published twice, which is harmless), so they need not wait for the disk. The
-- probes free the lock when the relay's machine vanishes without a word. All of it ends with the session.
select pg_try_advisory_lock(:key)
       and set_config('synchronous_commit', 'off', false) is not null
       and set_config('idle_session_timeout', :idle, false) is not null
       and set_config('tcp_keepalives_idle', '10', false) is not null
       and set_config('tcp_keepalives_interval', '5', false) is not null
       and set_config('tcp_keepalives_count', '3', false) is not null;

-- name: unpublished_changes
-- What to publish, on which channel, as the text that travels: the relay moves bytes.
with site as materialized (select epoch() as epoch)
select q.id, 'board:' || crc32(uuid_send(q.instructor_id)) % :partitions::bigint as channel,
       json_build_object(
         'instructor', o.instructor_id, 'version', o.version, 'epoch', site.epoch,
         'at', extract(epoch from o.created_at)::float8, 'days', o.days, 'events', o.events
       )::text as payload
from outbox_unpublished q
join outbox o on o.instructor_id = q.instructor_id and o.version = q.version, site
where crc32(uuid_send(q.instructor_id)) % :partitions::bigint % :shards::bigint = :shard::bigint
order by q.id
limit :limit;

-- name: remove_published
delete from outbox_unpublished where id = any(:ids::bigint[]);

-- name: board_message
-- The `board` of the live protocol as it goes over the wire.
select b.epoch, b.version,
       json_build_object(
         'type', 'board', 'instructor', :instructor::uuid, 'epoch', b.epoch, 'version', b.version,
         'time_zone', b.time_zone, 'min_advance_minutes', b.min_advance_minutes, 'days', b.days
       )::text as message
from board(:instructor, :first, :days) b;

-- name: missed_changes
-- For each calendar its present version, and the newest :limit of its changes above the version known. A calendar with nothing new
-- answers one row without a change; one that does not exist answers none.
with site as materialized (select epoch() as epoch)
select site.epoch, known.instructor_id, c.version as present, o.version, o.days, o.events
from site, unnest(:instructors::uuid[], :versions::bigint[]) as known (instructor_id, version)
-- Each by its key, however few calendars there are: `limit` keeps the planner from reading all of them at once.
join lateral (select x.version from calendar x where x.instructor_id = known.instructor_id limit 1) c on true
left join lateral (
  select x.version, x.days, x.events from outbox x
  where x.instructor_id = known.instructor_id and x.version > known.version
  order by x.version desc limit :limit
) o on true
order by known.instructor_id, o.version;

-- name: versions_of
-- The versions of these calendars beside the epoch, in one snapshot. At least one row, whether or not any calendar is found. A
-- standby may be behind, so it says that it is one.
with site as materialized (select epoch() as epoch)
select site.epoch, pg_is_in_recovery() as standby, c.instructor_id, c.version
from site left join calendar c on c.instructor_id = any(:instructors::uuid[]);

-- name: raise_epoch
-- The database was seen to be older than what was published from it. Guarded, so that of several processes that notice, one acts.
update site set epoch_seed = gen_random_uuid() where epoch() = :epoch;

-- name: booking_totals
-- The sum of the versions of each student's bookings: it rises with every change to one of them.
select s.id as student_id, coalesce(sum(b.version), 0)::bigint as versions
from unnest(:students::uuid[]) as s (id) left join booking b on b.student_id = s.id
group by s.id;

-- name: booking_totals_by_calendar
-- The same, calendar by calendar, with the newest version: a change at or below it is contained in the sum.
select b.student_id, b.instructor_id, sum(b.version)::bigint as versions, max(b.version) as newest
from booking b where b.student_id = any(:students::uuid[])
group by b.student_id, b.instructor_id;

-- name: oldest_unpublished
-- How many seconds the oldest change has been waiting for the relay.
select greatest(0, extract(epoch from clock_timestamp() - o.created_at))::float8 as seconds
from outbox_unpublished q
join outbox o on o.instructor_id = q.instructor_id and o.version = q.version
order by q.id limit 1;

-- name: bookings_to_tell
-- The bookings that messages are about. Each by its key, whatever the planner thinks of how many
-- there are.
select * from unnest(:ids::uuid[]) as message (booking_id),
     lateral (select * from booking_detail d where d.id = message.booking_id limit 1) as booking;

-- The live path: the relay's reads from the outbox, and the hub's reads when messages may be
-- missing.

-- name: try_relay_lock
-- A crash may undo deletes from the queue (a change is then published twice, which is harmless), so
-- their commits need not wait for the disk. The keepalive probes free the lock if the relay's
-- machine disappears. The lock and all these settings end with the session.
select pg_try_advisory_lock(:key)
       and set_config('synchronous_commit', 'off', false) is not null
       and set_config('idle_session_timeout', :idle, false) is not null
       and set_config('tcp_keepalives_idle', '10', false) is not null
       and set_config('tcp_keepalives_interval', '5', false) is not null
       and set_config('tcp_keepalives_count', '3', false) is not null;

-- name: unpublished_changes
-- Channel and payload of each message; the relay passes the payload on unchanged. It has already
-- sent the messages :published.
with site as materialized (select epoch() as epoch)
select q.id, 'board:' || crc32(uuid_send(q.instructor_id)) % :partitions::bigint as channel,
       json_build_object(
         'instructor', o.instructor_id, 'version', o.version, 'epoch', site.epoch,
         'at', extract(epoch from o.created_at)::float8, 'days', o.days, 'events', o.events
       )::text as payload
from outbox_unpublished q
join outbox o on o.instructor_id = q.instructor_id and o.version = q.version, site
where crc32(uuid_send(q.instructor_id)) % :partitions::bigint % :shards::bigint = :shard::bigint
      and q.id <> all(:published::bigint[])
order by q.id
limit :limit;

-- name: remove_published
delete from outbox_unpublished where id = any(:ids::bigint[]);

-- name: board_message
-- The `board` message of the live protocol in the wire format.
select b.epoch, b.version,
       json_build_object(
         'type', 'board', 'instructor', :instructor::uuid, 'epoch', b.epoch, 'version', b.version,
         'time_zone', b.time_zone, 'min_advance_minutes', b.min_advance_minutes, 'days', b.days
       )::text as message
from board(:instructor, :first, :days) b;

-- name: missed_changes
-- For each calendar its current version, and the newest :limit of its changes after the given
-- version. A calendar without newer changes yields one row without a change; one that does not
-- exist yields none.
with site as materialized (select epoch() as epoch)
select site.epoch, watched.instructor_id, c.version as present, o.version, o.days, o.events
from site, unnest(:instructors::uuid[], :versions::bigint[]) as watched (instructor_id, version)
-- `limit 1` makes the planner look up each calendar by its key, even while there are few.
join lateral (
  select x.version from calendar x where x.instructor_id = watched.instructor_id limit 1
) c on true
left join lateral (
  select x.version, x.days, x.events from outbox x
  where x.instructor_id = watched.instructor_id and x.version > watched.version
  order by x.version desc limit :limit
) o on true
order by watched.instructor_id, o.version;

-- name: versions_of
-- The epoch and the versions of these calendars, in one snapshot. At least one row, even if none of
-- the calendars exists. `standby`: the database is a standby, which may lag.
with site as materialized (select epoch() as epoch)
select site.epoch, pg_is_in_recovery() as standby, c.instructor_id, c.version
from site left join calendar c on c.instructor_id = any(:instructors::uuid[]);

-- name: raise_epoch
-- Called when the database is older than what was published from it. The condition lets only one of
-- several processes that notice change the epoch.
update site set epoch_seed = gen_random_uuid() where epoch() = :epoch;

-- name: booking_totals
-- The sum of the versions of each student's bookings; every change to a booking increases it.
select s.id as student_id, coalesce(sum(b.version), 0)::bigint as versions
from unnest(:students::uuid[]) as s (id) left join booking b on b.student_id = s.id
group by s.id;

-- name: booking_totals_by_calendar
-- Like booking_totals, but per calendar and with its newest version. The sum includes every change
-- up to that version.
select b.student_id, b.instructor_id, sum(b.version)::bigint as versions, max(b.version) as newest
from booking b where b.student_id = any(:students::uuid[])
group by b.student_id, b.instructor_id;

-- name: oldest_unpublished
-- The age in seconds of the oldest unpublished change.
select greatest(0, extract(epoch from clock_timestamp() - o.created_at))::float8 as seconds
from outbox_unpublished q
join outbox o on o.instructor_id = q.instructor_id and o.version = q.version
order by q.id limit 1;

-- name: bookings_to_send
-- The bookings of booking messages. `limit 1` makes the planner look up each by its key.
select * from unnest(:ids::uuid[]) as message (booking_id),
     lateral (select * from booking_detail d where d.id = message.booking_id limit 1) as booking;

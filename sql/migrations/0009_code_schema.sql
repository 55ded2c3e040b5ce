-- The first release had its functions and its view in the schema `public`, where `create or
-- replace` could not change their shape. They now live in the schema `code`, which every `migrate`
-- drops and recreates (app/migrate.py). Dropped by name and without cascade: if an outside object
-- depends on one of them, this fails.
drop view if exists public.booking_detail restrict;
drop function if exists public.board(uuid, date, integer) restrict;
drop function if exists public.board_days(uuid, date[]) restrict;
drop function if exists public.booking_event(text, uuid, bigint) restrict;
drop function if exists public.cancel_booking(uuid, uuid, text, timestamptz) restrict;
drop function if exists public.clock_jump(timestamp, text) restrict;
drop function if exists public.day_span(date, text) restrict;
drop function if exists public.day_start(date, text) restrict;
drop function if exists public.epoch() restrict;
drop function if exists public.expire_hold(uuid, bigint, timestamptz) restrict;
drop function if exists public.free_time(uuid, timestamptz, timestamptz) restrict;
drop function if exists public.hours(date, integer, integer, text) restrict;
drop function if exists public.is_zone(text) restrict;
drop function if exists public.local_dates(tstzrange, text) restrict;
drop function if exists public.local_days(uuid, date, integer) restrict;
drop function if exists public.local_end(timestamp, text) restrict;
drop function if exists public.local_instant(timestamp, text) restrict;
drop function if exists public.local_or_jump(timestamp, text) restrict;
drop function if exists public.nearest_starts(
  uuid, uuid, timestamptz, integer, timestamptz, integer) restrict;
drop function if exists public.offers(
  text, text, text, integer, integer, integer, uuid, integer) restrict;
drop function if exists public.public_days(uuid, date, integer, timestamptz) restrict;
drop function if exists public.remove_service(uuid, uuid) restrict;
drop function if exists public.replace_days(uuid, jsonb, bigint, timestamptz) restrict;
drop function if exists public.reserve(
  uuid, uuid, timestamptz, integer, text, text, text, timestamptz) restrict;
drop function if exists public.set_teaching(uuid, boolean) restrict;
drop function if exists public.step(uuid, date[], jsonb) restrict;
drop function if exists public.update_instructor(
  uuid, text, text, integer, text[], integer, integer, integer, timestamptz) restrict;
drop function if exists public.wall_end(timestamptz, date, text) restrict;
drop function if exists public.wall_start(timestamptz, text) restrict;
drop function if exists public.wire_instant(timestamptz) restrict;
drop function if exists public.wire_ranges(tstzmultirange) restrict;

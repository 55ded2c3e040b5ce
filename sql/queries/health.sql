-- name: database_answers
select true;

-- name: write_temporarily
-- Writes about a megabyte into the database's tablespace; fails while the disk is full.
create temporary table probe on commit drop as
select repeat('x', 1000) as filler from generate_series(1, 1000);

-- name: database_answers
select true;

-- name: write_temporarily
-- About a megabyte, in the database's own tablespace: refused while the disk is full.
create temporary table room on commit drop as select repeat('x', 1000) as filler from generate_series(1, 1000);

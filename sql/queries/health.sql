-- name: database_answers
select true;

-- Run by `restore` before a dump, in the same transaction.
set statement_timeout = 0;
set lock_timeout = '10s';
set client_min_messages = warning;
drop schema if exists public, code cascade;
create schema public;

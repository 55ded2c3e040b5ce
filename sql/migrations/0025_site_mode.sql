-- The strictest SITE_MODE with which a web process has served this database. Destructive commands
-- read it, so that a shell without SITE_MODE=prod cannot destroy the data of a prod site.
alter table site add column mode text not null default 'int'
  constraint site_mode_known check (mode in ('int', 'stg', 'prod'));

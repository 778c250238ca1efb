/*
 * The index and the views of migrations/ for psql, in one command:
 *
 *     psql -X -d DATABASE -f views.sql         -- as a superuser, after CREATE EXTENSION
 *
 * May be run again at any time, on a service in use too. The files in migrations/ are plain SQL for a migration tool,
 * and name three things: the schema public (of the tables and of the extension), the tables' owner gxydb_owner, and the
 * API's role gxydb_api. Where yours are called otherwise, replace them in a copy of the files.
 */
\set ON_ERROR_STOP on
SET client_min_messages = warning;

/* An index whose build was interrupted is not valid, and is built again. */
SELECT coalesce((SELECT indisvalid FROM pg_catalog.pg_index
	WHERE indexrelid = pg_catalog.to_regclass('public.sessions_live_idx')), false) AS index_is_there
\gset
\if :index_is_there
\else
	\ir migrations/1_live_sessions_index.down.sql
	\ir migrations/1_live_sessions_index.up.sql
\endif

BEGIN;
\ir migrations/3_balancer_views.up.sql
\ir migrations/4_answers.up.sql
COMMIT;
RESET client_min_messages;

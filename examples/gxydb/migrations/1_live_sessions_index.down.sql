/* Also after a build that was interrupted. Cannot run in a transaction. */
DROP INDEX CONCURRENTLY IF EXISTS public.sessions_live_idx;

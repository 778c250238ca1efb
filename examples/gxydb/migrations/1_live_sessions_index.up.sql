/*
 * An index of the sessions that have not ended, which are few among many: the balancer counts them.
 *
 * Built beside the traffic, so it cannot run in a transaction and is the only statement of this file. A build that was
 * interrupted leaves an index that is not valid, and this statement then fails: undo the migration and do it again.
 *
 * Not in the index: updated_at. With it the count would not visit the table, but no renewal of a session would be a
 * heap-only update any more.
 */
CREATE INDEX CONCURRENTLY sessions_live_idx ON public.sessions (room_id)
	INCLUDE (user_id, gateway_id)
	WHERE removed_at IS NULL;

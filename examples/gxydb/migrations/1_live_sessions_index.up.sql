/*
 * An index of the sessions that have not ended, which are few among many: the balancer counts them.
 *
 * Built beside the traffic, so it cannot run in a transaction and is the only statement of this file. A build that was
 * interrupted leaves an index that is not valid, and this statement then fails: undo the migration and do it again.
 *
 * Not in the index: updated_at. With it no renewal of a session is a heap-only update any more, and writes 685 bytes of
 * WAL instead of 270, which costs the count more than it saves by not visiting the table; see doc/performance.md.
 */
CREATE INDEX CONCURRENTLY sessions_live_idx ON public.sessions (room_id)
	INCLUDE (user_id, gateway_id)
	WHERE removed_at IS NULL;

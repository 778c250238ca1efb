/*
 * assignments.hpp: reads and writes rows of room_server_assignments.
 *
 * Uses heap and index access directly, without the executor: a sticky call is one index descent,
 * and only here can a row be read through the snapshots that the guarantees need (see
 * tables/assignments.cpp). Nothing here waits for a row of another transaction, except lock_row().
 */
#pragma once

#include "pg/compat.hpp"
#include "pg/function_ref.hpp"
#include "pg/heap_access.hpp"
#include "pg/lock_timeout.hpp"
#include "tables/assignment.hpp" // IWYU pragma: export

namespace gxy
{

/* Returns whether a (sub)transaction, which the snapshot sees in progress, is prepared now. */
bool is_prepared(TransactionId transaction, Snapshot snapshot);

/*
 * The table, opened, and its key index. close() closes both; after an error the end of the
 * transaction does.
 */
class Assignments
{
public:
	/*
	 * Opens the table. Waits until the deadline for transactions that have locked the whole table,
	 * as TRUNCATE does, or its index: 55P03. The index is locked and opened by the first search
	 * that uses it. A backend that remembers where a room's row is does not need it.
	 */
	static Assignments open(LOCKMODE mode, Deadline deadline);
	void close();

	/* Closes the table and releases its locks, before a wait. The caller has written nothing. */
	void close_and_unlock();

	/* Opens the index now, so that no later search waits for its lock. */
	void open_key() const;

	Relation table() const { return heap; }

	/*
	 * Returns the room's row as last committed or as this transaction has left it, whatever the
	 * snapshot. A hit is final. A miss proves nothing, because the row may have moved during the
	 * scan: use probe() then. If *absent is set to true, the index has no entry of the room, and
	 * the miss is final too.
	 */
	std::optional<Found> find(const RoomKey &room, bool *absent = nullptr) const;

	/* The same; also sets deleter. */
	std::optional<Found> find_with_deleter(const RoomKey &room) const;

	/* Returns the room's row as the active snapshot sees it. */
	std::optional<Found> find_visible(const RoomKey &room) const;

	struct Probe
	{
		bool visible = false;	/* visible to the snapshot */
		text *server = nullptr; /* server in the visible version; palloc'd */
		/* visible, or committed later, or written by this transaction */
		bool committed = false;
		/* another transaction, in progress, that has inserted a row */
		TransactionId holder = InvalidTransactionId;
		std::uint32_t token = 0; /* not 0: it is inserting the row speculatively now */
	};

	/*
	 * Returns whether the room has a row, for certain as of the snapshot. The snapshot is a latest
	 * one, registered.
	 */
	Probe probe(const RoomKey &room, Snapshot snapshot) const;

	using Change = gxy::Change;

	/*
	 * Renews the lease: sets last_used_at, and reported_users if given. Without those a crash may
	 * lose it.
	 */
	Change renew(ItemPointer tid, TimestampTz now, std::optional<int> reported_users);

	/* Sets both times of a lease. */
	Change restamp(ItemPointer tid, TimestampTz assigned_at, TimestampTz last_used_at);

	/* Moves the room to another server: sets server, reason, assigned_at and last_used_at. */
	Change move(ItemPointer tid, std::string_view server, std::string_view reason, TimestampTz now);

	/* Returns the row that find() has found, palloc'd; nullopt if it has been deleted meanwhile. */
	std::optional<Assignment> read(ItemPointer tid) const;

	/*
	 * Calls visit(const Assignment &) with the row that is at tid now. Returns false if there is
	 * none. If tid is from before the active snapshot, the row may be another room's: the place may
	 * have been reused.
	 */
	template <typename F> bool look_at(ItemPointer tid, F visit) const;

	/* Deletes a row. Returns busy, without waiting, if another transaction has locked it. */
	Change remove(ItemPointer tid);

	/*
	 * Waits in the lock manager until this transaction has locked the row; then remove_locked() can
	 * delete it.
	 */
	Change lock_row(ItemPointer tid) { return lock_row(tid, LockWaitBlock); }
	Change remove_locked(ItemPointer tid) { return delete_row(heap, tid, true); }

	/*
	 * Calls visit(const Assignment &) once for every room whose row the snapshot sees or a
	 * transaction in progress has inserted; twice for a room that such a transaction is moving to
	 * another server. The snapshot is registered. The row's page is pinned during the call.
	 */
	template <typename F> void for_each_room(Snapshot snapshot, F visit) const;

	/*
	 * Calls visit(const Assignment &, ItemPointer) for every row that the snapshot sees, with its
	 * page pinned.
	 */
	template <typename F> void for_each_row(Snapshot snapshot, F visit) const;

	/*
	 * Calls visit(const Assignment &) for every row that the snapshot would see if this transaction
	 * had changed nothing.
	 */
	template <typename F> void for_each_row_of_others(Snapshot snapshot, F visit) const;

	/*
	 * Calls visit(const Assignment &, TransactionId) for every row that a prepared transaction,
	 * which the snapshot sees in progress, has inserted or moved to another server.
	 */
	template <typename F> void for_each_prepared_row(Snapshot snapshot, F visit) const;

	/*
	 * Calls visit(TransactionId) for every row that the snapshot sees and a prepared transaction
	 * has deleted or replaced.
	 */
	template <typename F> void for_each_prepared_removal(Snapshot snapshot, F visit) const;

private:
	Assignments(Relation heap, LOCKMODE mode, Deadline deadline)
		: heap(heap), mode(mode), deadline(deadline)
	{
	}

	enum class Rows
	{
		seen,			  /* seen by the snapshot */
		of_others,		  /* as seen without this transaction's changes */
		prepared_removals /* seen, and deleted or replaced by a prepared transaction */
	};
	static bool is_one_of(Rows rows, HeapTuple tuple, Snapshot snapshot, Buffer buffer);

	using RowVisitor = FunctionRef<const Assignment &, HeapTuple>;

	std::optional<Found> find_by_key(const RoomKey &room, bool *absent) const;
	Change lock_row(ItemPointer tid, LockWaitPolicy policy);
	void scan(Snapshot snapshot, Rows rows, RowVisitor visit) const;
	void scan_in_flight(Snapshot snapshot, RowVisitor visit) const;

	Relation heap;
	mutable Relation key = nullptr;
	LOCKMODE mode;
	Deadline deadline;
};

template <typename F>
bool
Assignments::look_at(ItemPointer tid, F visit) const
{
	HeapTupleData tuple;
	Buffer buffer;

	tuple.t_self = *tid;
	if (!heap_fetch(heap, SnapshotSelf, &tuple, &buffer, false))
		return false;
	visit(assignment_of(&tuple, RelationGetDescr(heap)));
	ReleaseBuffer(buffer);
	return true;
}

template <typename F>
void
Assignments::for_each_room(Snapshot snapshot, F visit) const
{
	scan_in_flight(snapshot, [&visit](const Assignment &row, HeapTuple) { visit(row); });
}

template <typename F>
void
Assignments::for_each_row(Snapshot snapshot, F visit) const
{
	scan(snapshot, Rows::seen,
		 [&visit](const Assignment &row, HeapTuple tuple) { visit(row, &tuple->t_self); });
}

template <typename F>
void
Assignments::for_each_row_of_others(Snapshot snapshot, F visit) const
{
	scan(snapshot, Rows::of_others, [&visit](const Assignment &row, HeapTuple) { visit(row); });
}

template <typename F>
void
Assignments::for_each_prepared_row(Snapshot snapshot, F visit) const
{
	scan_in_flight(snapshot, [snapshot, &visit](const Assignment &row, HeapTuple tuple) {
		TransactionId writer = HeapTupleHeaderGetXmin(tuple->t_data);

		if (is_prepared(writer, snapshot))
			visit(row, SubTransGetTopmostTransaction(writer));
	});
}

template <typename F>
void
Assignments::for_each_prepared_removal(Snapshot snapshot, F visit) const
{
	scan(snapshot, Rows::prepared_removals, [&visit](const Assignment &, HeapTuple tuple) {
		visit(SubTransGetTopmostTransaction(HeapTupleHeaderGetUpdateXid(tuple->t_data)));
	});
}

} // namespace gxy

/*
 * assignments.hpp: the table room_server_assignments, row by row.
 *
 * Direct heap and index access, beneath the executor: a sticky call is one index descent, and only here can a row be
 * looked at through the snapshots that the guarantees need (see tables/assignments.cpp). Nothing here waits for another
 * transaction's row, except lock_row() and wait_for(), which say so.
 */
#pragma once

#include "pg/array.hpp"
#include "pg/lock_timeout.hpp"
#include "pg/heap_access.hpp"

namespace gxy
{

/* A room's id as the tables have it: 1 to 255 bytes of text. Lives on the stack. */
class RoomKey
{
public:
	void set(std::string_view id);
	void set(std::int64_t id);

	std::string_view view() const { return {datum.bytes, static_cast<std::size_t>(length)}; }
	Datum as_datum() const { return PointerGetDatum(&datum); }

private:
	int length = 0;
	/* A text value with a four-byte header. */
	struct
	{
		std::int32_t header;
		char bytes[max_name_length + 1];
	} datum;
};

/* A row of the table. Text points into palloc'd memory, or during a scan into the page. */
struct Assignment
{
	std::string_view room;
	std::string_view server;
	std::string_view region; /* empty: none */
	std::string_view reason; /* empty: none */
	TimestampTz assigned_at = 0;
	TimestampTz last_used_at = 0;
	std::optional<int> expected_users;
	std::optional<int> reported_users;

	/* An application's own statements may set either time. */
	TimestampTz leased_from() const { return std::max(assigned_at, last_used_at); }
};

/* The same with text of its own. */
Assignment copy_of(const Assignment &row);

/* The committed row of a room, as a sticky call needs it. */
struct Found
{
	ItemPointerData tid;
	text *server = nullptr; /* palloc'd */
	TimestampTz assigned_at = 0;
	TimestampTz leased_from = 0;
	std::optional<int> expected_users;
	std::optional<int> reported_users;
	TransactionId inserter =
		InvalidTransactionId; /* invalid if it is not the first version of the row */
	/* Another transaction that is deleting the row, or was a moment ago; only find_with_deleter() looks for it. */
	TransactionId deleter = InvalidTransactionId;
};

/* Who inserted a row, if this is its first version; invalid for a later one. */
inline TransactionId
first_inserter(HeapTuple tuple)
{
	return tuple->t_data->t_infomask & HEAP_UPDATED ? InvalidTransactionId
													: HeapTupleHeaderGetXmin(tuple->t_data);
}

/*
 * The row of the table that a tuple holds; text points into the tuple. NULL in a column that should have none, which only
 * a trigger can meet, reads as an empty name, or as a time that was long ago.
 */
Assignment assignment_of(HeapTuple tuple, TupleDesc descriptor);

/* The table, opened, and its key index; closed by close(), or by the end of the transaction after an error. */
class Assignments
{
public:
	/*
	 * Waits only for those who have locked the table as a whole, as TRUNCATE does, or its index. The index is locked and
	 * opened by the first row that is looked for by it: a backend that remembers where a room's row is needs none.
	 */
	static Assignments open(LOCKMODE mode, Deadline deadline);
	void close();

	/* Gives the locks back as well, before a wait; for a caller that has written nothing. */
	void close_and_unlock();

	/* Has the index opened now, so that nothing waits for it later. */
	void open_key() const;

	Relation table() const { return heap; }

	/*
	 * The room's row as last committed or as this transaction has left it, whatever its snapshot. A hit is final; a
	 * miss proves nothing, because the row may have moved during the scan: ask probe(). Unless *absent is set: then the
	 * index knows nothing of the room.
	 */
	std::optional<Found> find(const RoomKey &room, bool *absent = nullptr) const;

	/* The same, with what another transaction that has the row is doing to it. */
	std::optional<Found> find_with_deleter(const RoomKey &room) const;

	/* The room's row as the active snapshot sees it. */
	std::optional<Found> find_visible(const RoomKey &room) const;

	struct Probe
	{
		bool visible = false;	/* to the snapshot */
		text *server = nullptr; /* of the visible version; palloc'd */
		bool committed = false; /* visible, or committed since, or this transaction's own */
		TransactionId holder =
			InvalidTransactionId; /* another one, in progress, that has inserted a row */
		std::uint32_t token = 0;  /* not 0: it is inserting it speculatively just now */
	};

	/* Whether the room has a row, for certain as of the snapshot, which has to be a latest one and registered. */
	Probe probe(const RoomKey &room, Snapshot snapshot) const;

	using Change = gxy::Change;

	/* Renews the lease: sets last_used_at, and reported_users if given. */
	Change renew(ItemPointer tid, TimestampTz now, std::optional<int> reported_users);

	/* Sends the room to another server, as if assigned there now. */
	Change move(ItemPointer tid, std::string_view server, std::string_view reason, TimestampTz now);

	/* The row that find() has found, palloc'd; none if it is gone meanwhile. */
	std::optional<Assignment> read(ItemPointer tid) const;

	/*
	 * Calls visit(const Assignment &) with the row that is at tid just now; false if there is none. It may be another
	 * room's, if tid is from before the active snapshot: then the place may have been given away.
	 */
	template <typename F> bool look_at(ItemPointer tid, F visit) const;

	/* Deletes a row that nobody else has in hand. */
	Change remove(ItemPointer tid);

	/* Waits, in the lock manager, until this transaction has the row for itself; then remove_locked() deletes it. */
	Change lock_row(ItemPointer tid) { return lock_row(tid, LockWaitBlock); }
	Change remove_locked(ItemPointer tid) { return delete_row(heap, tid, true); }

	/*
	 * Calls visit(const Assignment &) once for every room that has a row committed by the time of the snapshot or
	 * inserted by a transaction that may yet commit; twice for one that such a transaction is moving to another server.
	 * The snapshot is registered. The row's page is pinned meanwhile.
	 */
	template <typename F> void for_each_room(Snapshot snapshot, F visit) const;

	/* Calls visit(const Assignment &, ItemPointer) for every row the snapshot sees, with its page pinned. */
	template <typename F> void for_each_row(Snapshot snapshot, F visit) const;

	/* The same for every row that the snapshot would see if this transaction had changed nothing. */
	template <typename F> void for_each_row_of_others(Snapshot snapshot, F visit) const;

	/*
	 * Calls visit(const Assignment &, TransactionId) for every row that a prepared transaction, which the snapshot sees
	 * in progress, has inserted.
	 */
	template <typename F> void for_each_prepared_row(Snapshot snapshot, F visit) const;

private:
	Assignments(Relation heap, LOCKMODE mode, Deadline deadline)
		: heap(heap), mode(mode), deadline(deadline)
	{
	}

	enum class Rows
	{
		seen,	   /* by the snapshot */
		of_others, /* as seen without this transaction's changes */
		prepared   /* inserted by prepared transactions that the snapshot sees in progress */
	};
	static bool is_one_of(Rows rows, HeapTuple tuple, Snapshot snapshot, Buffer buffer);

	using RowVisitor = void (*)(void *context, const Assignment &row, HeapTuple tuple);

	Change lock_row(ItemPointer tid, LockWaitPolicy policy);
	void scan(Snapshot snapshot, Rows rows, RowVisitor visit, void *context) const;
	void scan_in_flight(Snapshot snapshot, RowVisitor visit, void *context) const;

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
	scan_in_flight(
		snapshot,
		[](void *context, const Assignment &row, HeapTuple) { (*static_cast<F *>(context))(row); },
		&visit);
}

template <typename F>
void
Assignments::for_each_row(Snapshot snapshot, F visit) const
{
	scan(
		snapshot, Rows::seen,
		[](void *context, const Assignment &row, HeapTuple tuple) {
			(*static_cast<F *>(context))(row, &tuple->t_self);
		},
		&visit);
}

template <typename F>
void
Assignments::for_each_row_of_others(Snapshot snapshot, F visit) const
{
	scan(
		snapshot, Rows::of_others,
		[](void *context, const Assignment &row, HeapTuple) { (*static_cast<F *>(context))(row); },
		&visit);
}

template <typename F>
void
Assignments::for_each_prepared_row(Snapshot snapshot, F visit) const
{
	scan(
		snapshot, Rows::prepared,
		[](void *context, const Assignment &row, HeapTuple tuple) {
			TransactionId inserter = HeapTupleHeaderGetXmin(tuple->t_data);

			(*static_cast<F *>(context))(row, SubTransGetTopmostTransaction(inserter));
		},
		&visit);
}

} // namespace gxy

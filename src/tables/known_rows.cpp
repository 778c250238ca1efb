/*
 * known_rows.cpp: reads a row where it was the last time.
 *
 * Why a row may be read without a lock on its table:
 *
 * - The table is the same one: relations().generation, asked for first, changes with every
 *   committed or own change of the table, TRUNCATE and VACUUM FULL included. The change of another
 *   transaction arrives with the invalidation that its commit sends, before it releases its lock on
 *   the table: so until a caller has had an answer from the new table, or has waited for that lock,
 *   the old answer is the one in force. A session that looks only at other rows of that
 *   transaction can see them some microseconds earlier.
 *
 * - The page is in a buffer, or the search gives up. If the table is dropped, truncated or
 *   rewritten, its buffers are taken away from it, which waits for a pin of some microseconds.
 *   Blocks are never read from disk here, so none can be missing.
 *
 * - All of the row is on that page. What is stored out of line is in another table.
 *
 * - Nothing is written, not even a hint bit, whose WAL record could follow that of the DROP. So the
 *   hint bits must be set already: xmin is committed, xmax is invalid. That is what SnapshotSelf
 *   asks first, too. Any other row is read under the lock.
 */
#include "tables/known_rows.hpp"

#include "tables/catalog.hpp"

namespace gxy
{
namespace
{

struct KnownRow
{
	std::uint64_t room; /* hash of the name; 0: no room */
	ItemPointerData root;
	OffsetNumber version; /* on the same page */
	Buffer buffer;
};

constexpr int remembered_rooms = 4096; /* a power of two */
KnownRow remembered[remembered_rooms];

/* What reading a page of the table takes. */
struct KnownTable
{
	std::uint64_t generation = 0; /* of the relations, when the table was opened; 0: none */
	compat::RelationFile file;
	TupleDesc descriptor = nullptr; /* in TopMemoryContext */
};
KnownTable table;

KnownRow &
known_row(std::uint64_t hash)
{
	return remembered[hash & (remembered_rooms - 1)];
}

/* The relation is locked. */
void
remember_table(Relation heap)
{
	std::uint64_t generation = known_generation();

	if (generation == 0 || generation == table.generation)
		return;
	table.generation = 0;
	if (table.descriptor != nullptr)
		FreeTupleDesc(table.descriptor);
	table.descriptor = nullptr;

	MemoryContext caller = MemoryContextSwitchTo(TopMemoryContext);

	table.descriptor = CreateTupleDescCopy(RelationGetDescr(heap));
	MemoryContextSwitchTo(caller);
	table.file = compat::file_of(heap);
	table.generation = generation;
}

/* Returns the row of a tuple whose page is pinned, if it is the room's. */
std::optional<Found>
found_if(HeapTuple tuple, TupleDesc descriptor, const RoomKey &room)
{
	Assignment row = assignment_of(tuple, descriptor);

	return row.room == room.view() ? std::optional(found_in(tuple, row)) : std::nullopt;
}

/* Sets *tuple to the version, if it is settled, and all of it is here. The page is locked. */
bool
read_settled(Page page, OffsetNumber version, HeapTuple tuple)
{
	if (version > PageGetMaxOffsetNumber(page))
		return false;

	ItemId item = PageGetItemId(page, version);

	if (!ItemIdIsNormal(item))
		return false;
	tuple->t_data = reinterpret_cast<HeapTupleHeader>(PageGetItem(page, item));
	tuple->t_len = ItemIdGetLength(item);
	return HeapTupleHeaderXminCommitted(tuple->t_data) &&
		   (tuple->t_data->t_infomask & (HEAP_XMAX_INVALID | HEAP_HASEXTERNAL)) ==
			   HEAP_XMAX_INVALID;
}

} // namespace

void
remember_row(Relation heap, std::uint64_t hash, ItemPointerData root, ItemPointerData version,
			 Buffer buffer)
{
	remember_table(heap);
	known_row(hash) = KnownRow{.room = hash,
							   .root = root,
							   .version = ItemPointerGetOffsetNumber(&version),
							   .buffer = buffer};
}

std::optional<Found>
find_known_row(Relation heap, const RoomKey &room)
{
	KnownRow &at = known_row(room.hash());
	ItemPointerData tid = at.root;
	HeapTupleData tuple;
	std::optional<Found> found;

	if (at.room != room.hash() ||
		!compat::read_recent_buffer(compat::file_of(heap), ItemPointerGetBlockNumber(&tid),
									at.buffer))
		return found;
	LockBuffer(at.buffer, BUFFER_LOCK_SHARE);

	bool seen = heap_hot_search_buffer(&tid, heap, at.buffer, SnapshotSelf, &tuple, nullptr, true);

	LockBuffer(at.buffer, BUFFER_LOCK_UNLOCK);
	if (seen)
		found = found_if(&tuple, RelationGetDescr(heap), room);
	if (found)
	{
		at.version = ItemPointerGetOffsetNumber(&found->tid);
		remember_table(heap);
	}
	ReleaseBuffer(at.buffer);
	return found;
}

std::optional<Found>
find_settled_row(const RoomKey &room)
{
	const KnownRow &at = known_row(room.hash());
	std::optional<Found> found;

	if (at.room != room.hash() || relations().generation != table.generation ||
		!compat::read_recent_buffer(table.file, ItemPointerGetBlockNumber(&at.root), at.buffer))
		return found;

	HeapTupleData tuple;

	tuple.t_tableOid = InvalidOid;
	ItemPointerSet(&tuple.t_self, ItemPointerGetBlockNumber(&at.root), at.version);
	LockBuffer(at.buffer, BUFFER_LOCK_SHARE);

	bool settled = read_settled(BufferGetPage(at.buffer), at.version, &tuple);

	LockBuffer(at.buffer, BUFFER_LOCK_UNLOCK);
	if (settled)
		found = found_if(&tuple, table.descriptor, room);
	ReleaseBuffer(at.buffer);
	return found;
}

} // namespace gxy

/*
 * room_sizes.hpp: the table balancer_room_sizes, which remembers the size of each room.
 *
 * A session that assigns a room reads it; a cleanup writes it (rooms/size_sampler.cpp). The data is
 * only a hint: if another transaction has locked the table or a row, the reader or writer goes on
 * without it.
 */
#pragma once

#include "pg/compat.hpp"
#include "pg/heap_access.hpp"
#include "pg/new_rows.hpp"
#include "policy/room_size_model.hpp"
#include "tables/assignments.hpp"
#include "tables/columns.hpp"
#include "tables/owner_code.hpp"

namespace gxy
{

struct RememberedRoom
{
	std::string_view room; /* points into the page during a scan */
	RoomHistory history;
	TimestampTz updated_at = 0;
};

/*
 * The table, opened with its key index. close() closes both; after an error the end of the
 * transaction does.
 */
class RoomSizes
{
public:
	/* Returns nullopt if another transaction has locked the whole table. */
	static std::optional<RoomSizes> open(LOCKMODE mode);
	void close();

	/*
	 * Returns the history as last committed or as this transaction has left it, whatever the
	 * snapshot.
	 */
	RoomHistory find(const RoomKey &room) const;

	/*
	 * Calls visit(const RememberedRoom &, ItemPointer) for every row as of now, with its page
	 * pinned.
	 */
	template <typename F> void for_each_row(F visit) const;

	/*
	 * Do not wait for other transactions. Return false if another transaction has locked or changed
	 * the row.
	 */
	bool update(ItemPointer tid, const RoomHistory &history, TimestampTz now);
	bool remove(ItemPointer tid) { return delete_row(heap, tid, false) == Change::done; }

	/*
	 * Inserts each room for which next(RememberedRoom *) returns true. Returns how many were new.
	 */
	template <typename F> int insert(F next);

private:
	static RememberedRoom read_row(HeapTuple tuple, TupleDesc descriptor);
	static void fill(TupleTableSlot *slot, const DefaultRow &defaults, const RememberedRoom &room);

	Relation heap = nullptr;
	Relation key = nullptr;
};

/*
 * Returns the remembered history of a room; an empty one if learning is off. Costs one index
 * descent, never waits.
 */
RoomHistory recall(const RoomKey &room);

template <typename F>
void
RoomSizes::for_each_row(F visit) const
{
	TupleDesc descriptor = RelationGetDescr(heap);
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());

	for_each_visible_tuple(heap, true, snapshot, [&visit, descriptor](HeapTuple tuple) {
		visit(read_row(tuple, descriptor), &tuple->t_self);
	});
	UnregisterSnapshot(snapshot);
}

template <typename F>
int
RoomSizes::insert(F next)
{
	EState *estate = CreateExecutorState();
	ResultRelInfo *target = makeNode(ResultRelInfo);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(heap), &TTSOpsVirtual);
	RememberedRoom room;
	int inserted = 0;

	InitResultRelInfo(target, heap, 0, nullptr, 0);
	as_table_owner(heap, [&] {
		DefaultRow defaults = defaults_after(heap, room_sizes_updated_at);

		ExecOpenIndices(target, true);
		while (next(&room))
		{
			fill(slot, defaults, room);
			inserted += insert_row(target, slot, estate) ? 1 : 0;
			ResetPerTupleExprContext(estate);
		}
	});
	ExecCloseIndices(target);
	ExecDropSingleTupleTableSlot(slot);
	FreeExecutorState(estate);
	return inserted;
}

} // namespace gxy

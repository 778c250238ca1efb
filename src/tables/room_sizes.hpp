/*
 * room_sizes.hpp: the table balancer_room_sizes, what is remembered of each room.
 *
 * Read by whoever assigns a room, written by cleanups (rooms/size_sampler.cpp). It is a memory, not a ledger: whoever cannot have
 * it at once, because somebody has locked the table as a whole or has a row in hand, does without.
 */
#pragma once

#include "policy/room_size_model.hpp"
#include "pg/new_rows.hpp"
#include "tables/assignments.hpp"
#include "tables/columns.hpp"
#include "tables/owner_code.hpp"

namespace gxy
{

struct RememberedRoom
{
	std::string_view room; /* during a scan it points into the page */
	RoomHistory history;
	TimestampTz updated_at = 0;
};

/* The table, opened with its key index; closed by close(), or by the end of the transaction after an error. */
class RoomSizes
{
public:
	/* nullopt: it is locked as a whole. */
	static std::optional<RoomSizes> open(LOCKMODE mode);
	void close();

	/* As last committed or as this transaction has left it, whatever its snapshot. */
	RoomHistory find(const RoomKey &room) const;

	/* Calls visit(const RememberedRoom &, ItemPointer) for every row as of now, with its page pinned. */
	template <typename F> void for_each_row(F visit) const;

	/* These wait for nobody, and may come to nothing. */
	bool update(ItemPointer tid, const RoomHistory &history, TimestampTz now);
	bool remove(ItemPointer tid) { return delete_row(heap, tid, false) == Change::done; }

	/* Inserts each room for which next(RememberedRoom *) is true; how many were new. */
	template <typename F> int insert(F next);

private:
	static RememberedRoom read_row(HeapTuple tuple, TupleDesc descriptor);
	static void fill(TupleTableSlot *slot, const DefaultRow &defaults, const RememberedRoom &room);

	Relation heap = nullptr;
	Relation key = nullptr;
};

/* What is remembered of a room; nothing where learning is off. Costs one index descent and never waits. */
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

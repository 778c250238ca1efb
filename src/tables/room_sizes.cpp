/*
 * room_sizes.cpp: direct access to balancer_room_sizes, in the way of tables/assignments.cpp.
 */
#include "tables/room_sizes.hpp"

#include "pg/row.hpp"
#include "pg/settings.hpp"
#include "tables/catalog.hpp"
#include "tables/columns.hpp"

namespace gxy
{
namespace
{

constexpr int written_columns[] = {room_sizes_size,		 room_sizes_occasions,
								   room_sizes_peak,		 room_sizes_assigned_at,
								   room_sizes_opened_at, room_sizes_updated_at};

RoomHistory
history_in(const Row &row)
{
	return RoomHistory{.size = row.real(room_sizes_size).value_or(0),
					   .occasions = row.integer(room_sizes_occasions).value_or(0),
					   .peak = row.integer(room_sizes_peak).value_or(0),
					   .assigned_at = row.time(room_sizes_assigned_at).value_or(DT_NOBEGIN),
					   .opened_at = row.time(room_sizes_opened_at).value_or(DT_NOBEGIN)};
}

/* In the order of written_columns. */
void
fill_history(Datum *values, const RoomHistory &history, TimestampTz updated_at)
{
	values[0] = Float4GetDatum(static_cast<float>(history.size));
	values[1] = Int32GetDatum(static_cast<std::int32_t>(history.occasions));
	values[2] = Int32GetDatum(static_cast<std::int32_t>(history.peak));
	values[3] = TimestampTzGetDatum(history.assigned_at);
	values[4] = TimestampTzGetDatum(history.opened_at);
	values[5] = TimestampTzGetDatum(updated_at);
}

} // namespace

std::optional<RoomSizes>
RoomSizes::open(LOCKMODE mode)
{
	RoomSizes opened;

	if (!try_lock_table(&Relations::room_sizes, mode) ||
		!try_lock_table(&Relations::room_sizes_key, mode))
		return std::nullopt;

	const Relations &known = relations();

	opened.heap = table_open(known.room_sizes, NoLock);
	opened.key = index_open(known.room_sizes_key, NoLock);
	return opened;
}

void
RoomSizes::close()
{
	index_close(key, NoLock);
	table_close(heap, NoLock);
}

/*
 * A hit with SnapshotSelf is final, and so is a miss if the index has no entry. Otherwise checks
 * every version against a latest snapshot, so that a row that is being updated is not missed: see
 * tables/assignments.cpp.
 */
RoomHistory
RoomSizes::find(const RoomKey &room) const
{
	std::optional<RoomHistory> history;
	auto take = [&](HeapTuple tuple, Buffer, const ItemPointerData &) {
		history = history_in(TupleRow(tuple, RelationGetDescr(heap)));
		return false;
	};
	bool any = for_each_version(heap, key, room.as_datum(), SnapshotSelf, take);

	if (!history && any)
	{
		Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
		auto take_if_seen = [&](HeapTuple tuple, Buffer buffer, const ItemPointerData &root) {
			LockBuffer(buffer, BUFFER_LOCK_SHARE);

			bool seen = HeapTupleSatisfiesVisibility(tuple, snapshot, buffer);

			LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
			return !seen || take(tuple, buffer, root);
		};

		(void) for_each_version(heap, key, room.as_datum(), SnapshotAny, take_if_seen);
		UnregisterSnapshot(snapshot);
	}
	return history.value_or(RoomHistory{});
}

RememberedRoom
RoomSizes::read_row(HeapTuple tuple, TupleDesc descriptor)
{
	TupleRow row(tuple, descriptor);

	return RememberedRoom{.room = row.text(room_sizes_room).value_or(""),
						  .history = history_in(row),
						  .updated_at = row.time(room_sizes_updated_at).value_or(DT_NOBEGIN)};
}

void
RoomSizes::fill(TupleTableSlot *slot, const DefaultRow &defaults, const RememberedRoom &room)
{
	Datum written[std::size(written_columns)];

	ExecClearTuple(slot);
	std::copy_n(defaults.values, slot->tts_tupleDescriptor->natts, slot->tts_values);
	std::copy_n(defaults.nulls, slot->tts_tupleDescriptor->natts, slot->tts_isnull);
	fill_history(written, room.history, room.updated_at);
	slot->tts_values[room_sizes_room - 1] = PointerGetDatum(text_of(room.room));
	slot->tts_isnull[room_sizes_room - 1] = false;
	for (std::size_t i = 0; i < std::size(written_columns); i++)
	{
		slot->tts_values[written_columns[i] - 1] = written[i];
		slot->tts_isnull[written_columns[i] - 1] = false;
	}
	ExecStoreVirtualTuple(slot);
}

bool
RoomSizes::update(ItemPointer tid, const RoomHistory &history, TimestampTz now)
{
	Datum written[std::size(written_columns)];

	fill_history(written, history, now);
	Change change;

	as_table_owner(heap, [&] { change = change_columns(heap, tid, written_columns, written); });
	return change == Change::done;
}

RoomHistory
recall(const RoomKey &room)
{
	RoomHistory history;

	if (setting::max_learned_rooms == 0)
		return history;
	if (std::optional<RoomSizes> sizes = RoomSizes::open(AccessShareLock))
	{
		history = sizes->find(room);
		sizes->close();
	}
	return history;
}

} // namespace gxy

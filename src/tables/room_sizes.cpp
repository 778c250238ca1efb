/*
 * room_sizes.cpp: direct access to balancer_room_sizes, as tables/assignments.cpp has it to the assignments.
 */
#include "tables/room_sizes.hpp"

#include "tables/catalog.hpp"

namespace gxy
{
namespace
{

enum SizesColumn
{
	sizes_room = 1,
	sizes_size,
	sizes_occasions,
	sizes_peak,
	sizes_assigned_at,
	sizes_opened_at,
	sizes_updated_at,
	sizes_columns = sizes_updated_at
};

constexpr int written_columns[] = {sizes_size,		  sizes_occasions, sizes_peak,
								   sizes_assigned_at, sizes_opened_at, sizes_updated_at};

RoomHistory
history_in(const Datum *values)
{
	return RoomHistory{.size = DatumGetFloat4(values[sizes_size - 1]),
					   .occasions = DatumGetInt32(values[sizes_occasions - 1]),
					   .peak = DatumGetInt32(values[sizes_peak - 1]),
					   .assigned_at = DatumGetTimestampTz(values[sizes_assigned_at - 1]),
					   .opened_at = DatumGetTimestampTz(values[sizes_opened_at - 1])};
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

/* Every version is looked at with a latest snapshot, so that one being updated cannot slip through: see tables/assignments.cpp. */
RoomHistory
RoomSizes::find(const RoomKey &room) const
{
	RoomHistory history;
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());

	for_each_version(heap, key, room.as_datum(), SnapshotAny, [&](TupleTableSlot *slot) {
		BufferHeapTupleTableSlot *buffered = reinterpret_cast<BufferHeapTupleTableSlot *>(slot);

		LockBuffer(buffered->buffer, BUFFER_LOCK_SHARE);

		bool visible =
			HeapTupleSatisfiesVisibility(buffered->base.tuple, snapshot, buffered->buffer);

		LockBuffer(buffered->buffer, BUFFER_LOCK_UNLOCK);
		if (visible)
		{
			slot_getsomeattrs(slot, sizes_columns);
			history = history_in(slot->tts_values);
		}
		return !visible;
	});
	UnregisterSnapshot(snapshot);
	return history;
}

RememberedRoom
RoomSizes::read_row(HeapTuple tuple, TupleDesc descriptor)
{
	Datum values[MaxHeapAttributeNumber];
	bool nulls[MaxHeapAttributeNumber];

	heap_deform_tuple(tuple, descriptor, values, nulls);
	return RememberedRoom{.room = view_of(values[sizes_room - 1]),
						  .history = history_in(values),
						  .updated_at = DatumGetTimestampTz(values[sizes_updated_at - 1])};
}

void
RoomSizes::fill(TupleTableSlot *slot, const RememberedRoom &room)
{
	Datum written[std::size(written_columns)];

	ExecClearTuple(slot);
	std::fill_n(slot->tts_isnull, slot->tts_tupleDescriptor->natts, true);
	fill_history(written, room.history, room.updated_at);
	slot->tts_values[sizes_room - 1] = PointerGetDatum(text_of(room.room));
	slot->tts_isnull[sizes_room - 1] = false;
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

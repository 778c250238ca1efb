/*
 * rows.hpp: reading a small table of the extension whole, as of now.
 */
#pragma once

#include "pg/lock_timeout.hpp"

namespace gxy
{

/* A row being looked at; what text() gives is copied into the current memory context. */
class RowView
{
public:
	explicit RowView(TupleTableSlot *slot) : slot(slot) {}

	bool is_null(int column) const { return slot->tts_isnull[column - 1]; }
	Datum datum(int column) const { return slot->tts_values[column - 1]; }
	std::string_view peek(int column) const { return view_of(datum(column)); }
	std::string_view text(int column) const { return copy_of(peek(column)); }
	bool boolean(int column) const { return DatumGetBool(datum(column)); }
	TimestampTz time(int column) const { return DatumGetTimestampTz(datum(column)); }
	int integer(int column, int if_null) const
	{
		return is_null(column) ? if_null : DatumGetInt32(datum(column));
	}

private:
	TupleTableSlot *slot;
};

/* Calls visit(RowView) for every row that a latest snapshot sees, the caller's own changes included. The table is locked. */
template <typename F>
void
for_each_row_of(Oid table, F visit)
{
	Relation relation = table_open(table, NoLock);
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	TableScanDesc scan = table_beginscan(relation, snapshot, 0, nullptr);
	TupleTableSlot *slot = table_slot_create(relation, nullptr);

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		slot_getallattrs(slot);
		visit(RowView(slot));
	}
	ExecDropSingleTupleTableSlot(slot);
	table_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(relation, NoLock);
}

} // namespace gxy

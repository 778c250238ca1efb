/*
 * assignments_scan.cpp: scans all assignments that a snapshot sees, in one of several ways.
 */
#include "tables/assignments.hpp"

#include "pg/row.hpp"
#include "tables/columns.hpp"

namespace gxy
{
Assignment
assignment_of(HeapTuple tuple, TupleDesc descriptor)
{
	TupleRow row(tuple, descriptor);

	return Assignment{.room = row.text(assignments_room).value_or(""),
					  .server = row.text(assignments_server).value_or(""),
					  .region = row.text(assignments_region).value_or(""),
					  .reason = row.text(assignments_reason).value_or(""),
					  .assigned_at = row.time(assignments_assigned_at).value_or(DT_NOBEGIN),
					  .last_used_at = row.time(assignments_last_used_at).value_or(DT_NOBEGIN),
					  .expected_users = row.integer(assignments_expected_users),
					  .reported_users = row.integer(assignments_reported_users)};
}

namespace
{

/*
 * Returns true if a row has been deleted by the transaction that inserted it or by one that has
 * committed.
 */
bool
is_deleted(HeapTuple tuple)
{
	HeapTupleHeader header = tuple->t_data;

	if (header->t_infomask & HEAP_XMAX_INVALID || HEAP_XMAX_IS_LOCKED_ONLY(header->t_infomask) ||
		!ItemPointerEquals(&header->t_ctid, &tuple->t_self))
		return false;

	TransactionId deleter = HeapTupleHeaderGetUpdateXid(header);

	/* A deletion by another transaction in progress may still be rolled back. */
	return TransactionIdIsValid(deleter) && !TransactionIdDidAbort(deleter) &&
		   (TransactionIdDidCommit(deleter) ||
			SubTransGetTopmostTransaction(deleter) ==
				SubTransGetTopmostTransaction(HeapTupleHeaderGetXmin(header)));
}

/* Returns whether the snapshot would see a row version if this transaction had changed nothing. */
bool
is_seen_by_others(HeapTuple tuple, Snapshot snapshot, Buffer buffer)
{
	HeapTupleHeader header = tuple->t_data;

	if (TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(header)))
		return false;
	if (HeapTupleSatisfiesVisibility(tuple, snapshot, buffer))
		return true;
	if (header->t_infomask & HEAP_XMAX_INVALID || HEAP_XMAX_IS_LOCKED_ONLY(header->t_infomask) ||
		!TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetUpdateXid(header)))
		return false;

	/* Deleted or replaced by this transaction: check it as it was before. */
	HeapTupleHeaderData before = *header;
	HeapTupleData undone = *tuple;

	before.t_infomask |= HEAP_XMAX_INVALID;
	undone.t_data = &before;
	return HeapTupleSatisfiesVisibility(&undone, snapshot, buffer);
}

/*
 * Returns whether a row was inserted by a prepared transaction that the snapshot sees in progress.
 */
bool
is_prepared_insertion(HeapTuple tuple, Snapshot snapshot, Buffer buffer)
{
	HeapTupleHeader header = tuple->t_data;
	TransactionId inserter = HeapTupleHeaderGetXmin(header);

	if (!TransactionIdIsNormal(inserter) || header->t_infomask & HEAP_UPDATED ||
		HeapTupleHeaderXminCommitted(header) ||
		HeapTupleSatisfiesVisibility(tuple, snapshot, buffer) ||
		!TransactionIdIsInProgress(inserter))
		return false;
	inserter = SubTransGetTopmostTransaction(inserter);
	/*
	 * The order matters: if no backend has the transaction and it is still in progress afterwards,
	 * it is prepared.
	 */
	return BackendXidGetPid(inserter) == 0 && TransactionIdIsInProgress(inserter) &&
		   !is_deleted(tuple);
}

} // namespace

bool
Assignments::is_one_of(Rows rows, HeapTuple tuple, Snapshot snapshot, Buffer buffer)
{
	switch (rows)
	{
		case Rows::of_others:
			return is_seen_by_others(tuple, snapshot, buffer);
		case Rows::prepared:
			return is_prepared_insertion(tuple, snapshot, buffer);
		default:
			return HeapTupleSatisfiesVisibility(tuple, snapshot, buffer);
	}
}

void
Assignments::scan(Snapshot snapshot, Rows rows, RowVisitor visit, void *context) const
{
	TupleDesc descriptor = RelationGetDescr(heap);

	for_each_tuple(
		heap, false,
		[rows, snapshot](HeapTuple tuple, Buffer buffer) {
			bool wanted = is_one_of(rows, tuple, snapshot, buffer);

			return wanted ? std::optional<bool>(true) : std::nullopt;
		},
		[visit, context, descriptor](HeapTuple tuple, bool) {
			visit(context, assignment_of(tuple, descriptor), tuple);
		});
}

} // namespace gxy

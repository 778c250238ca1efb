/*
 * assignments_scan.cpp: scans all assignments that a snapshot sees, in one of several ways.
 */
#include "pg/compat.hpp"
#include "pg/heap_access.hpp"
#include "tables/assignments.hpp"

namespace gxy
{

bool
is_prepared(TransactionId transaction, Snapshot snapshot)
{
	if (!TransactionIdIsNormal(transaction) || !XidInMVCCSnapshot(transaction, snapshot) ||
		!TransactionIdIsInProgress(transaction))
		return false;

	TransactionId top = SubTransGetTopmostTransaction(transaction);

	/*
	 * The order matters: if no backend has the transaction and it is still in progress afterwards,
	 * it is prepared.
	 */
	return BackendXidGetPid(top) == 0 && TransactionIdIsInProgress(top);
}

namespace
{

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

/* Returns whether the snapshot sees a row that a prepared transaction has deleted or replaced. */
bool
is_prepared_removal(HeapTuple tuple, Snapshot snapshot, Buffer buffer)
{
	HeapTupleHeader header = tuple->t_data;

	return !(header->t_infomask & HEAP_XMAX_INVALID) &&
		   !HEAP_XMAX_IS_LOCKED_ONLY(header->t_infomask) &&
		   is_prepared(HeapTupleHeaderGetUpdateXid(header), snapshot) &&
		   HeapTupleSatisfiesVisibility(tuple, snapshot, buffer);
}

} // namespace

bool
Assignments::is_one_of(Rows rows, HeapTuple tuple, Snapshot snapshot, Buffer buffer)
{
	switch (rows)
	{
		case Rows::of_others:
			return is_seen_by_others(tuple, snapshot, buffer);
		case Rows::prepared_removals:
			return is_prepared_removal(tuple, snapshot, buffer);
		default:
			return HeapTupleSatisfiesVisibility(tuple, snapshot, buffer);
	}
}

void
Assignments::scan(Snapshot snapshot, Rows rows, RowVisitor visit) const
{
	TupleDesc descriptor = RelationGetDescr(heap);

	for_each_tuple(
		heap, false,
		[rows, snapshot](HeapTuple tuple, Buffer buffer) {
			bool wanted = is_one_of(rows, tuple, snapshot, buffer);

			return wanted ? std::optional<bool>(true) : std::nullopt;
		},
		[visit, descriptor](HeapTuple tuple, bool) {
			visit(assignment_of(tuple, descriptor), tuple);
		});
}

} // namespace gxy

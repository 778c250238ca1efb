/*
 * assignments_in_flight.cpp: scans all assignments, committed and in flight.
 *
 * A row is in flight if it was written by a transaction that had not ended when the snapshot was
 * taken. An exact count of rooms that does not wait for such transactions needs both the rows that
 * the snapshot sees (it is taken under the placement lock) and the rows in flight. One pass over
 * the table finds them:
 *
 * - The first version of a row in flight, written by INSERT, stands for the room. Later versions
 *   are marked HEAP_UPDATED.
 *
 * - The later versions are found by following the chain of updates from the version that stands for
 *   the room: the one that the snapshot sees, or the first. The room counts on the server of the
 *   latest version and on that of the version that the snapshot sees, because either may become
 *   final.
 *
 * The snapshot is registered, so neither the version that it sees nor the later ones are pruned
 * meanwhile. If a transaction deletes a room and inserts it again on the same server, the room has
 * two rows but counts once. So rows that are being deleted are visited last, and are skipped if
 * they are found among the inserted ones.
 *
 * A row in flight costs about as much as any other row, and the scan uses no index.
 */
#include "pg/array.hpp"
#include "pg/compat.hpp"
#include "pg/heap_access.hpp"
#include "tables/assignments.hpp"

namespace gxy
{
namespace
{

/*
 * Tells which transactions are in flight for a snapshot. Remembers the last answer, because
 * neighbouring rows mostly belong to the same transaction.
 */
class Transactions
{
public:
	explicit Transactions(Snapshot snapshot) : snapshot(snapshot) {}

	/*
	 * Returns true if a transaction had not ended when the snapshot was taken, and has not aborted
	 * since.
	 */
	bool in_flight(TransactionId transaction)
	{
		if (transaction != last)
		{
			last = transaction;
			last_in_flight =
				TransactionIdIsCurrentTransactionId(transaction) ||
				(XidInMVCCSnapshot(transaction, snapshot) && !TransactionIdDidAbort(transaction));
		}
		return last_in_flight;
	}

	/*
	 * Returns true if this version is the first of a row in flight. The snapshot does not see it;
	 * its page is locked.
	 */
	bool has_inserted(HeapTuple tuple)
	{
		HeapTupleHeader header = tuple->t_data;
		TransactionId inserter = HeapTupleHeaderGetXmin(header);

		if (header->t_infomask & HEAP_UPDATED || HeapTupleHeaderXminInvalid(header) ||
			!TransactionIdIsNormal(inserter) || !in_flight(inserter))
			return false;
		/*
		 * If this transaction inserted the row and the snapshot does not see it: either it has
		 * changed the row since, or it inserted it after the snapshot was taken.
		 */
		return !TransactionIdIsCurrentTransactionId(inserter) ||
			   HeapTupleHeaderGetCmin(header) >= snapshot->curcid;
	}

	/*
	 * Returns the transaction in flight that has updated or deleted a version, or invalid. Its page
	 * is locked.
	 */
	TransactionId changer_of(HeapTuple tuple)
	{
		HeapTupleHeader header = tuple->t_data;

		if (header->t_infomask & HEAP_XMAX_INVALID || HEAP_XMAX_IS_LOCKED_ONLY(header->t_infomask))
			return InvalidTransactionId;

		TransactionId changer = HeapTupleHeaderGetUpdateXid(header);

		return TransactionIdIsValid(changer) && in_flight(changer) ? changer : InvalidTransactionId;
	}

private:
	Snapshot snapshot;
	TransactionId last = InvalidTransactionId;
	bool last_in_flight = false;
};

/*
 * Returns true if the deletion of a row in flight is committed, or commits together with its
 * insertion.
 */
bool
goes_with(TransactionId deleter, TransactionId inserter)
{
	return TransactionIdDidCommit(deleter) ||
		   SubTransGetTopmostTransaction(deleter) == SubTransGetTopmostTransaction(inserter);
}

/* A version of a row, as it was when its page was locked. */
struct Version
{
	enum class Change
	{
		none,
		updated,
		deleted
	};

	bool inserted;		   /* inserted in flight; otherwise the snapshot sees it */
	Change change;		   /* made by a transaction in flight */
	TransactionId changer; /* the transaction that made the change */
	ItemPointerData next;  /* what it was updated to */
};

Version
version_at(HeapTuple tuple, bool inserted, Transactions *transactions)
{
	TransactionId changer = transactions->changer_of(tuple);
	ItemPointer next = &tuple->t_data->t_ctid;
	Version version = {
		.inserted = inserted, .change = Version::Change::none, .changer = changer, .next = *next};

	/* A row that was moved to another partition is no longer in this table. */
	if (TransactionIdIsValid(changer))
		version.change = ItemPointerEquals(next, &tuple->t_self) ||
								 HeapTupleHeaderIndicatesMovedPartitions(tuple->t_data)
							 ? Version::Change::deleted
							 : Version::Change::updated;
	return version;
}

/* Returns nullopt if the version does not stand for a room. */
std::optional<Version>
version_of(HeapTuple tuple, Buffer buffer, Snapshot snapshot, Transactions *transactions)
{
	bool seen = HeapTupleSatisfiesVisibility(tuple, snapshot, buffer);

	if (!seen && !transactions->has_inserted(tuple))
		return std::nullopt;

	Version version = version_at(tuple, !seen, transactions);

	if (version.inserted && version.change == Version::Change::deleted &&
		goes_with(version.changer, HeapTupleHeaderGetXmin(tuple->t_data)))
		return std::nullopt;
	return version;
}

/*
 * Reads single versions. Keeps the page of the last one pinned, because the next is mostly on the
 * same page.
 */
class VersionReader
{
public:
	VersionReader(Relation heap, Transactions *transactions)
		: heap(heap), transactions(transactions)
	{
	}

	/* Returns the version at tid; nullptr if there is none. */
	HeapTuple read(ItemPointer tid)
	{
		bool found = lock(tid);

		LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
		return found ? &tuple : nullptr;
	}

	/*
	 * Follows the updates of a version and returns the latest one: the version itself if its update
	 * has been undone, nullptr if the row has been deleted.
	 */
	HeapTuple latest(HeapTuple first, Version version)
	{
		ItemPointerData reached = first->t_self;

		do
		{
			ItemPointerData next = version.next;
			TransactionId updater = version.changer;
			bool follows = lock(&next) && HeapTupleHeaderGetXmin(tuple.t_data) == updater;

			if (follows)
				version = version_at(&tuple, true, transactions);
			LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
			if (!follows)
				return read(&reached);
			if (version.change == Version::Change::deleted && goes_with(version.changer, updater))
				return nullptr;
			reached = next;
		} while (version.change == Version::Change::updated);
		return &tuple;
	}

	void finish()
	{
		if (BufferIsValid(buffer))
			ReleaseBuffer(buffer);
	}

private:
	/*
	 * Locks the page of tid in share mode and points tuple to the version there. Returns false if
	 * there is none; the page is locked then, too.
	 */
	bool lock(ItemPointer tid)
	{
		BlockNumber block = ItemPointerGetBlockNumber(tid);
		OffsetNumber at = ItemPointerGetOffsetNumber(tid);

		buffer = ReleaseAndReadBuffer(buffer, heap, block);
		LockBuffer(buffer, BUFFER_LOCK_SHARE);

		Page page = BufferGetPage(buffer);

		return at <= PageGetMaxOffsetNumber(page) && find_on_page(heap, block, page, at, &tuple);
	}

	Relation heap;
	Transactions *transactions;
	Buffer buffer = InvalidBuffer;
	HeapTupleData tuple;
};
static_assert(std::is_trivially_destructible_v<VersionReader>);

/* A row that the snapshot sees and a transaction in flight has deleted. */
struct Deletion
{
	std::uint64_t hash;
	ItemPointerData tid;
};

/* Hash of a room together with its server. */
std::uint64_t
hash_of(const Assignment &row)
{
	return hash_combine64(name_hash(row.room), name_hash(row.server));
}

/* One pass over the table, and the deleted rows that it visits afterwards. */
class InFlightScan
{
public:
	InFlightScan(Relation heap, Snapshot snapshot)
		: heap(heap), snapshot(snapshot), transactions(snapshot), reader(heap, &transactions)
	{
	}

	template <typename F> void run(F visit)
	{
		for_each_version_in_use([&](HeapTuple tuple, const Version &version) {
			inserted = inserted || version.inserted;
			if (!version.inserted && version.change == Version::Change::deleted)
				deletions.push(Deletion{.hash = hash_of(row_of(tuple)), .tid = tuple->t_self});
			else
				visit_one(tuple, version, visit);
		});
		if (deletions.count > 0)
			visit_deleted(visit);
		reader.finish();
	}

private:
	Assignment row_of(HeapTuple tuple) const
	{
		return assignment_of(tuple, RelationGetDescr(heap));
	}

	template <typename F> void for_each_version_in_use(F visit)
	{
		for_each_tuple(
			heap, false,
			[this](HeapTuple tuple, Buffer buffer) {
				return version_of(tuple, buffer, snapshot, &transactions);
			},
			visit);
	}

	template <typename F> void visit_one(HeapTuple tuple, const Version &version, F visit)
	{
		Assignment row = row_of(tuple);

		if (version.change != Version::Change::updated)
		{
			visit(row, tuple);
			return;
		}
		if (!version.inserted)
			visit(row, tuple);

		HeapTuple latest = reader.latest(tuple, version);

		if (latest == nullptr)
			return;

		Assignment updated = row_of(latest);

		if (version.inserted || updated.room != row.room || updated.server != row.server)
			visit(updated, latest);
	}

	/* Visits the rows that are being deleted, except those inserted again on the same server. */
	template <typename F> void visit_deleted(F visit)
	{
		Array<std::uint64_t> insertions;

		if (inserted)
			for_each_version_in_use([&](HeapTuple tuple, const Version &version) {
				if (version.inserted)
					visit_one(tuple, version, [&insertions](const Assignment &row, HeapTuple) {
						insertions.push(hash_of(row));
					});
			});
		std::sort(insertions.begin(), insertions.end());
		for (Deletion &deletion : deletions)
		{
			HeapTuple tuple =
				std::binary_search(insertions.begin(), insertions.end(), deletion.hash)
					? nullptr
					: reader.read(&deletion.tid);

			if (tuple != nullptr)
				visit(row_of(tuple), tuple);
		}
	}

	Relation heap;
	Snapshot snapshot;
	Transactions transactions;
	VersionReader reader;
	bool inserted = false; /* a row was inserted in flight */
	Array<Deletion> deletions;
};
static_assert(std::is_trivially_destructible_v<InFlightScan>);

} // namespace

void
Assignments::scan_in_flight(Snapshot snapshot, RowVisitor visit) const
{
	InFlightScan scan(heap, snapshot);

	scan.run(visit);
}

} // namespace gxy

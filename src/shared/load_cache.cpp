/*
 * load_cache.cpp: the load cache: its invariant, and the changes of the current transaction.
 *
 * The load of every server is, at any time,
 *
 *     baseline         what the last count found, by its snapshot S
 *     + committed      changes of transactions that have committed and that S did not see
 *     + in flight      what transactions that have not ended have added.
 *
 * What a transaction removes counts only for itself until it commits, because it may roll back.
 *
 * A new room is placed by reading these sums, choosing a server, and adding the room to what is in
 * flight, in one step under the cache's lock. So each caller sees every reservation before its own,
 * and any number of concurrent callers spread rooms of equal size as evenly as one caller would.
 *
 * Why each change of a transaction is in exactly one of the three sums:
 *
 * - It is in flight from when it is recorded until the callback at the end of its transaction,
 *   which removes it after an abort and moves it to committed after a commit.
 * - A count takes S and flips the epoch of "committed" in one step under the lock. Callbacks run
 *   after their commit has become visible. So S sees everything that was moved to committed before
 *   the flip; it is in the old epoch, which is dropped when the count becomes the baseline. For
 *   what is moved after the flip, is_in_snapshot() decides: what S sees goes to the old epoch as
 *   well, the rest to the new epoch, which stays.
 * - A transaction that S sees may not have run its callback when the count ends; its changes would
 *   be in the baseline and in flight. So every backend publishes the id of its transaction while it
 *   has something in flight, and a count does not become the baseline while an id is published that
 *   S sees. (This lasts microseconds; meanwhile the old sums hold.) So nothing that S sees is moved
 *   to committed afterwards, and while no count runs there is nothing to decide.
 * - The changes of the counting transaction itself are in flight: it counts what S sees without
 *   them, and S is kept with its own id among those in progress.
 * - COMMIT PREPARED calls no callback. A transaction that is prepared puts its changes on a list.
 *   Each reader, and each count that ends, first moves the changes of prepared transactions that
 *   have ended by now, under the lock. If there was no memory for the list, or after a restart, the
 *   cache is unusable until a count has read the rows of prepared transactions from the table.
 * - A removed room takes along what the last count had of it, by its row as of that count. If
 *   another count becomes the baseline before the commit, it may have less, because the lease has
 *   ended: LoadAtCommit::until says from when on; the commit then takes the room and who is in it.
 * - If there is no memory for a cache, or for the slot of a server, a change is not recorded. The
 *   cache is unusable until a count sees the end of that transaction (record_unreported()).
 * - A TRUNCATE makes the cache unusable in the callback at its commit, before its lock on the table
 *   is released; a reader holds a lock on the table, so it cannot come in between. For the same
 *   reason no count can be running then.
 *
 * If a count fails, both epochs stay, and the next count merges them before its flip. A backend
 * that exits runs the callbacks of an abort; after one that is killed the server starts shared
 * memory anew.
 *
 * A room with live sessions but no assignment (an orphan) goes where its sessions are. So that the
 * sessions need not be read for each new room, the cache lists orphans: rooms that the last count
 * has found in that state, and rooms that have lost their assignment otherwise than by a cleanup,
 * until a count sees the end of that transaction.
 *
 * The callbacks run where nothing may fail: they allocate nothing, map no memory, and take one
 * lock.
 */
#include "shared/load_cache.hpp"

#include "pg/debug_delay.hpp"
#include "shared/load_cache_baseline.hpp"
#include "shared/load_cache_layout.hpp"
#include "shared/load_cache_state.hpp"
#include "shared/load_cache_sums.hpp"

namespace gxy
{
namespace
{

/*
 * The changes of the current transaction, one for each server and nest level, so that the list is
 * no longer than servers times levels. In TopMemoryContext; levels never decrease.
 */
Array<LoadDelta> deltas;
TransactionId transaction = InvalidTransactionId; /* which has something in flight */

/* Nest levels of (sub)transactions; 0: none. */
int truncated_level = 0; /* has emptied the table */
int counting_level = 0;	 /* is counting a baseline */
int counted_level = 0;	 /* may have written sessions that its own baseline has counted */

std::int64_t counted = 0; /* that baseline, for expire_baseline() */
bool callbacks_registered = false;
LoadDelta reservation;			  /* the last one */
SharedPointer prepared_block = 0; /* between PRE_PREPARE and PREPARE: for the changes */

/*
 * Called before the shared sums are changed: nothing may fail between that and the entry in the
 * list.
 */
void
make_space()
{
	MemoryContext caller = MemoryContextSwitchTo(TopMemoryContext);

	deltas.make_space();
	MemoryContextSwitchTo(caller);
}

/* Adds a change to the list, which has space for it. */
void
enter(const LoadDelta &change)
{
	for (int i = deltas.count - 1; i >= 0 && deltas[i].level == change.level; i--)
		if (deltas[i].slot == change.slot)
		{
			deltas[i].added += change.added;
			deltas[i].at_commit += change.at_commit;
			return;
		}
	deltas.push(change);
}

void
reset()
{
	deltas.count = 0;
	transaction = InvalidTransactionId;
	truncated_level = 0;
	counted_level = 0;
}

/* Returns the index of the first change of a nest level or a deeper one. */
int
first_at(int level)
{
	int first = deltas.count;

	while (first > 0 && deltas[first - 1].level >= level)
		first--;
	return first;
}

/* A (sub)transaction is rolled back. In its callback. */
void
undo(int level)
{
	LoadCache *cache = load_cache();
	int first = first_at(level);

	if (counting_level >= level)
	{
		abandon_baseline(cache);
		counting_level = 0;
	}
	if (counted_level >= level)
	{
		expire_baseline(cache, counted);
		counted_level = 0;
	}
	if (truncated_level >= level)
		truncated_level = 0;
	if (deltas.count > first || (level <= 1 && TransactionIdIsValid(transaction)))
		remove_in_flight(cache, deltas.items + first, deltas.count - first, level <= 1);
	deltas.count = first;
}

/* A subtransaction has committed: its changes become its parent's. In its callback. */
void
hand_to_parent(int level)
{
	int first = first_at(level);
	int count = deltas.count;

	/* The list becomes no longer, so there is space. */
	deltas.count = first;
	for (int i = first; i < count; i++)
	{
		LoadDelta change = deltas[i];

		change.level = level - 1;
		enter(change);
	}
	for (int *at : {&truncated_level, &counting_level, &counted_level})
		if (*at >= level)
			*at = level - 1;
}

} // namespace

extern "C"
{
	static void at_transaction_end(XactEvent event, void *)
	{
		switch (event)
		{
			case XACT_EVENT_COMMIT:
				debug_pause("commit");
				if (TransactionIdIsValid(transaction))
					commit_deltas(load_cache(), transaction, deltas.items, deltas.count);
				reset();
				break;
			case XACT_EVENT_PRE_PREPARE:
				if (deltas.count > 0)
					prepared_block = allocate_prepared(load_cache(), deltas.count);
				break;
			case XACT_EVENT_PREPARE:
				/* No callback runs at ROLLBACK PREPARED. */
				if (counted_level > 0)
					expire_baseline(load_cache(), counted);
				if (TransactionIdIsValid(transaction))
					prepare_deltas(load_cache(), transaction, deltas.items, deltas.count,
								   std::exchange(prepared_block, 0));
				reset();
				break;
			case XACT_EVENT_ABORT:
				undo(1);
				if (prepared_block != 0)
					discard_prepared(load_cache(), std::exchange(prepared_block, 0));
				reset();
				break;
			default:
				break;
		}
	}

	static void at_subtransaction_end(SubXactEvent event, SubTransactionId, SubTransactionId,
									  void *)
	{
		int level = GetCurrentTransactionNestLevel();

		if (event == SUBXACT_EVENT_ABORT_SUB)
			undo(level);
		else if (event == SUBXACT_EVENT_COMMIT_SUB)
			hand_to_parent(level);
	}
}

namespace
{

void
register_callbacks()
{
	if (callbacks_registered)
		return;
	RegisterXactCallback(at_transaction_end, nullptr);
	RegisterSubXactCallback(at_subtransaction_end, nullptr);
	callbacks_registered = true;
}

void
record(std::string_view server, Load added, const LoadAtCommit &at_commit)
{
	TransactionId own = GetTopTransactionId();
	LoadCache *cache = load_cache();
	int slot = cache != nullptr ? server_slot(cache, name_hash(server)) : -1;

	if (slot < 0)
	{
		record_unreported(own);
		return;
	}
	register_callbacks();
	make_space();
	transaction = own;

	LoadDelta change = {slot, GetCurrentTransactionNestLevel(), added, at_commit};

	add_in_flight(cache, transaction, change);
	enter(change);
}

} // namespace

void
record_room_added(std::string_view server, Load load)
{
	record(server, load, {});
}

void
record_at_commit(std::string_view server, const LoadAtCommit &change, TransactionId inserter)
{
	if (TransactionIdIsCurrentTransactionId(inserter))
		record(server, change.load, {});
	else
		record(server, {}, change);
}

void
record_orphan(std::string_view room)
{
	TransactionId own = GetTopTransactionId();
	LoadCache *cache = load_cache();

	if (cache != nullptr)
		add_orphan(cache, own, name_hash(room));
	else
		record_unreported(own);
}

void
record_truncation()
{
	TransactionId own = GetTopTransactionId();

	if (load_cache() == nullptr)
	{
		record_unreported(own);
		return;
	}
	register_callbacks();

	int level = GetCurrentTransactionNestLevel();

	make_space();
	transaction = own;
	enter(LoadDelta{.slot = -1, .level = level, .added = {}, .at_commit = {}});
	if (truncated_level == 0)
		truncated_level = level;
}

bool
has_truncated()
{
	return truncated_level > 0;
}

Reserved
reserve(LoadCache *cache, const ReserveRequest &request, Server *servers, Decision *decision)
{
	register_callbacks();
	make_space();

	std::span<const LoadDelta> own = deltas.span();
	Reserved reserved = request.ranked != nullptr
							? reserve_leader_in_cache(cache, request, own, servers, decision)
							: reserve_in_cache(cache, request, own, servers, decision);

	if (reserved == Reserved::reserved)
	{
		reservation = LoadDelta{.slot = request.slots[decision->server],
								.level = GetCurrentTransactionNestLevel(),
								.added = request.load,
								.at_commit = {}};
		transaction = GetTopTransactionId();
		enter(reservation);
	}
	return reserved;
}

bool
read_loads(LoadCache *cache, BaselineKey key, const int *slots, Load *loads, int count,
		   TimestampTz *counted_at)
{
	return read_sums(cache, key, {slots, static_cast<std::size_t>(count)}, deltas.span(), loads,
					 counted_at) &&
		   !has_truncated();
}

void
cancel_reservation()
{
	LoadDelta back = reservation;

	back.added = -back.added;
	enter(back);
	remove_in_flight(load_cache(), &reservation, 1, false);
}

BaselineCount
start_baseline(LoadCache *cache, BaselineKey key, std::int64_t max_age, TimestampTz now)
{
	register_callbacks();

	BaselineCount count = begin_baseline(cache, key, max_age, now);

	if (count.snapshot != nullptr)
		counting_level = GetCurrentTransactionNestLevel();
	return count;
}

bool
finish_baseline(LoadCache *cache, BaselineKey key, const BaselineResult &result)
{
	Installed installed = install_baseline(cache, key, result, &counted);

	if (installed == Installed::not_yet)
		return false;
	counting_level = 0;
	/* A (sub)transaction without an id has written nothing. */
	if (installed == Installed::yes)
		counted_level = !result.has_sessions ? 0
						: TransactionIdIsValid(GetCurrentTransactionIdIfAny())
							? GetCurrentTransactionNestLevel()
						: TransactionIdIsValid(GetTopTransactionIdIfAny())
							? GetCurrentTransactionNestLevel() - 1
							: 0;
	return true;
}

void
cancel_baseline(LoadCache *cache)
{
	abandon_baseline(cache);
	counting_level = 0;
}

} // namespace gxy

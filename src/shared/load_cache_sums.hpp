/*
 * load_cache_sums.hpp: the steps that change or read the sums of a load cache, each under its lock.
 * Private to the load cache.
 */
#pragma once

#include "pg/compat.hpp"
#include "policy/placement_policy.hpp"
#include "shared/header.hpp"
#include "shared/load_cache.hpp"
#include "shared/load_cache_layout.hpp"
#include "shared/load_delta.hpp"

namespace gxy
{

/* Adds a change to what is in flight. Normal code, no lock held. */
void add_in_flight(LoadCache *cache, TransactionId transaction, const LoadDelta &delta);

/*
 * Takes changes back that were rolled back. transaction_ends: this backend has nothing in flight
 * any more. Also in a transaction callback.
 */
void remove_in_flight(LoadCache *cache, const LoadDelta *deltas, int count, bool transaction_ends);

/* The current transaction has committed, and its commit is visible. In its callback. */
void commit_deltas(LoadCache *cache, TransactionId transaction, const LoadDelta *deltas, int count);

/*
 * The current transaction has been prepared: its changes are listed, to be resolved by the next
 * reader after its end. block: by allocate_prepared(), for so many changes; 0: there was no memory.
 * In the transaction's callback.
 */
void prepare_deltas(LoadCache *cache, TransactionId transaction, const LoadDelta *deltas, int count,
					SharedPointer block);

/* The current transaction is not prepared after all. In its callback. */
void discard_prepared(LoadCache *cache, SharedPointer block);

/* Lists a room as an orphan if the transaction commits. Normal code, no lock held. */
void add_orphan(LoadCache *cache, TransactionId transaction, std::uint64_t room);

/*
 * Chooses a server by the sums, which are filled in, and adds the room to what is in flight, in one
 * step. own: the changes of the current transaction. Normal code, no lock held.
 */
Reserved reserve_in_cache(LoadCache *cache, const ReserveRequest &request,
						  std::span<const LoadDelta> own, Server *servers, Decision *decision);

/*
 * The same by the leader of request.ranked, in a few steps however many servers there are. Returns
 * undecided if all servers have to be compared.
 */
Reserved reserve_leader_in_cache(LoadCache *cache, const ReserveRequest &request,
								 std::span<const LoadDelta> own, Server *leader,
								 Decision *decision);

/*
 * Reads the loads of slots as the current transaction sees them. own: its changes. Returns whether
 * there is a usable baseline by this key. Normal code, no lock held.
 */
bool read_sums(LoadCache *cache, BaselineKey key, std::span<const int> slots,
			   std::span<const LoadDelta> own, Load *loads, TimestampTz *counted_at);

} // namespace gxy

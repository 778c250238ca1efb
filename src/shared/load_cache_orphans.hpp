/*
 * load_cache_orphans.hpp: rooms that may have live sessions and no assignment. Private to the load
 * cache.
 *
 * Such a room must be placed where its sessions are. The load cache keeps the hashes of these
 * rooms, so that the sessions are read only for them. Without memory for the list, every room is
 * treated as one. Two rooms with the same hash, or a room that is listed and has no sessions, cost
 * one read of the sessions and nothing else.
 *
 * The caller of each function holds the lock of the load cache, if not stated otherwise.
 */
#pragma once

#include "pg/array.hpp"
#include "pg/compat.hpp"
#include "shared/load_cache_layout.hpp"

namespace gxy
{

/*
 * Lists a room. transaction: whose commit makes it an orphan; InvalidTransactionId: the count has
 * found it. Returns false if the table is full: the caller enlarges it and tries again.
 */
bool list_orphan(LoadCache *cache, std::uint64_t room, TransactionId transaction);

/*
 * Treats every room as an orphan, for want of memory, until a count has seen the end of the
 * transaction; if it is invalid, until the next count.
 */
void treat_all_as_orphans(LoadCache *cache, TransactionId transaction);

bool may_be_orphan(const LoadCache *cache, std::uint64_t room);

/* Fills a new table, which is not part of the cache yet. Needs no lock. */
void fill_orphans(Table *table, const Array<std::uint64_t> &rooms);

/*
 * Exchanges the cache's table for a new one with the rooms that a count has found, and adds the
 * rooms whose transaction had not ended by the count's snapshot. Returns false if the new table is
 * too small for both. Otherwise *table is the old table, to be freed.
 */
bool replace_orphans(LoadCache *cache, Table *table);

} // namespace gxy

/*
 * load_cache_orphans.cpp: the set of orphans, a hash table that grows.
 */
#include "shared/load_cache_orphans.hpp"

#include "shared/header.hpp"
#include "shared/load_cache_settlement.hpp"
#include "shared/segments.hpp"

namespace gxy
{
namespace
{

Orphan &
find(const Table &table, std::uint64_t room)
{
	return find_entry(shared<Orphan>(table.entries), table.size, &Orphan::room, room);
}

void
enter(Table *table, const Orphan &orphan)
{
	Orphan &entry = find(*table, orphan.room);

	if (entry.room == 0)
		table->count++;
	entry = orphan;
}

} // namespace

bool
list_orphan(LoadCache *cache, std::uint64_t room, TransactionId transaction)
{
	Table &table = cache->orphans;

	assert_locked(cache);
	if (table.is_full() && (table.size == 0 || find(table, room).room == 0))
		return false;
	enter(&table, Orphan{.room = room, .transaction = transaction});
	return true;
}

void
treat_all_as_orphans(LoadCache *cache, TransactionId transaction)
{
	assert_locked(cache);
	cache->all_orphans = true;
	if (TransactionIdIsValid(transaction) &&
		(!TransactionIdIsValid(cache->last_unlisted) ||
		 TransactionIdPrecedes(cache->last_unlisted, transaction)))
		cache->last_unlisted = transaction;
}

bool
may_be_orphan(const LoadCache *cache, std::uint64_t room)
{
	assert_locked(cache);
	return cache->all_orphans || (cache->orphans.count > 0 && find(cache->orphans, room).room != 0);
}

void
fill_orphans(Table *table, const Array<std::uint64_t> &rooms)
{
	for (std::uint64_t room : rooms)
		enter(table, Orphan{.room = room, .transaction = InvalidTransactionId});
}

bool
replace_orphans(LoadCache *cache, Table *table)
{
	const Orphan *listed =
		cache->orphans.size > 0 ? shared<Orphan>(cache->orphans.entries) : nullptr;

	assert_locked(cache);
	if ((table->count + cache->orphans.count) * 2 > table->size)
		return false;
	for (const Orphan &orphan : std::span(listed, static_cast<std::size_t>(cache->orphans.size)))
		if (orphan.room != 0 && TransactionIdIsValid(orphan.transaction) &&
			!is_in_snapshot(cache, orphan.transaction))
			enter(table, orphan);
	std::swap(cache->orphans, *table);
	if (!TransactionIdIsValid(cache->last_unlisted) ||
		TransactionIdPrecedes(cache->last_unlisted, cache->snapshot.oldest_in_progress))
	{
		cache->all_orphans = false;
		cache->last_unlisted = InvalidTransactionId;
	}
	return true;
}

} // namespace gxy

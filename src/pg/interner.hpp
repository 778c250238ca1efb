/*
 * interner.hpp: numbers names, so that what is known of them can be kept in arrays.
 *
 * By the name itself, or, where there may be millions of them, by its hash alone (name_hash()).
 */
#pragma once

#include "pg/compat.hpp"

namespace gxy
{
namespace interner
{

struct NameEntry
{
	std::string_view name;
	int number;
	std::uint32_t hash;
	char status;
};

inline std::uint32_t
hash_of(std::string_view name)
{
	return hash_bytes(reinterpret_cast<const unsigned char *>(name.data()),
					  static_cast<int>(name.size()));
}

#define SH_PREFIX names
#define SH_ELEMENT_TYPE NameEntry
#define SH_KEY_TYPE std::string_view
#define SH_KEY name
#define SH_HASH_KEY(table, key) hash_of(key)
#define SH_EQUAL(table, a, b) ((a) == (b))
#define SH_STORE_HASH
#define SH_GET_HASH(table, entry) (entry)->hash
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

struct HashEntry
{
	std::uint64_t hash;
	int number;
	char status;
};

#define SH_PREFIX hashes
#define SH_ELEMENT_TYPE HashEntry
#define SH_KEY_TYPE std::uint64_t
#define SH_KEY hash
#define SH_HASH_KEY(table, key) static_cast<std::uint32_t>(key)
#define SH_EQUAL(table, a, b) ((a) == (b))
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

} // namespace interner

/* Numbers names in the order of their first appearance. */
class NameInterner
{
public:
	/* expected: how many names it may be; a good guess saves the growing. */
	void prepare(int expected = 256)
	{
		table = interner::names_create(CurrentMemoryContext, static_cast<std::uint32_t>(expected),
									   nullptr);
	}

	/* The number of a name; fresh: it got it just now. */
	int number(std::string_view name, bool *fresh)
	{
		bool known;
		interner::NameEntry *entry = interner::names_insert(table, name, &known);

		if (!known)
		{
			entry->name = copy_of(name);
			entry->number = static_cast<int>(table->members) - 1;
		}
		*fresh = !known;
		return entry->number;
	}

	/* The number of a name, -1 if it has none. */
	int find(std::string_view name) const
	{
		interner::NameEntry *entry =
			table != nullptr ? interner::names_lookup(table, name) : nullptr;

		return entry != nullptr ? entry->number : -1;
	}

	/* Calls visit(name, number) for every name. */
	template <typename F> void for_each(F visit) const
	{
		interner::names_iterator iterator;

		interner::names_start_iterate(table, &iterator);
		while (interner::NameEntry *entry = interner::names_iterate(table, &iterator))
			visit(entry->name, entry->number);
	}

private:
	interner::names_hash *table = nullptr;
};

/*
 * The same by the names' hashes, which copies no name and compares none. Two names of one hash are taken for one, which a
 * million names meet with a chance of one in thirty million: for where that does no harm.
 */
class HashInterner
{
public:
	void prepare(int expected = 256)
	{
		table = interner::hashes_create(CurrentMemoryContext, static_cast<std::uint32_t>(expected),
										nullptr);
	}

	int number(std::uint64_t hash, bool *fresh)
	{
		bool known;
		interner::HashEntry *entry = interner::hashes_insert(table, hash, &known);

		if (!known)
			entry->number = static_cast<int>(table->members) - 1;
		*fresh = !known;
		return entry->number;
	}

	/* -1 if it has none. */
	int find(std::uint64_t hash) const
	{
		interner::HashEntry *entry =
			table != nullptr ? interner::hashes_lookup(table, hash) : nullptr;

		return entry != nullptr ? entry->number : -1;
	}

private:
	interner::hashes_hash *table = nullptr;
};

/*
 * Tells of nearly every name that is not in a set that it is not, by one bit for each hash. A table of a hundred
 * thousand names does not fit into a processor's cache and its filter does, so most of the misses cost nothing.
 */
class HashFilter
{
public:
	void prepare(int names)
	{
		std::uint64_t bits = pg_nextpower2_64(static_cast<std::uint64_t>(std::max(names, 64)) * 16);

		words = static_cast<std::uint64_t *>(MemoryContextAllocExtended(
			CurrentMemoryContext, bits / 8, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO));
		last_word = bits / 64 - 1;
	}

	void add(std::uint64_t hash) { words[word_of(hash)] |= bit_of(hash); }
	bool may_have(std::uint64_t hash) const { return (words[word_of(hash)] & bit_of(hash)) != 0; }

private:
	std::uint64_t word_of(std::uint64_t hash) const { return (hash >> 6) & last_word; }
	static std::uint64_t bit_of(std::uint64_t hash) { return std::uint64_t{1} << (hash & 63); }

	std::uint64_t *words = nullptr;
	std::uint64_t last_word = 0;
};

} // namespace gxy

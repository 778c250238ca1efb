/*
 * interner.hpp: gives each name a number 0, 1, 2, ..., so that data about names fits in arrays.
 *
 * NameInterner identifies a name by its text, HashInterner by its name_hash() only. The tables live
 * in the memory context that is current in prepare(). No locks: each belongs to one backend.
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

/* Numbers names in the order of their first number() call. */
class NameInterner
{
public:
	/* expected: the initial table size; the table grows if there are more names. */
	void prepare(int expected = 256)
	{
		table = interner::names_create(CurrentMemoryContext, static_cast<std::uint32_t>(expected),
									   nullptr);
	}

	/* Returns the number of a name; *fresh is true if the name is new. */
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

	/* Returns the number of a name, -1 if it has none. */
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
 * Numbers names by their hashes; it neither stores nor compares the names. Two names with the same
 * hash get the same number; for a million names the probability is about 1 in 30 million. Use it
 * only where that does no harm, as in counts.
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

	/* Returns the number of a hash, -1 if it has none. */
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
 * A Bloom filter that sets one bit for each hash and has 16 to 32 bits for each expected name, so
 * at most about 1 of 16 absent names passes. The filter of a hundred thousand names (256 kB) fits
 * into a processor's cache, unlike a hash table of them, so most lookups of absent names are cheap.
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

	/* may_have() is true for every added hash, and false for most others. */
	void add(std::uint64_t hash) { words[word_of(hash)] |= bit_of(hash); }
	bool may_have(std::uint64_t hash) const { return (words[word_of(hash)] & bit_of(hash)) != 0; }

private:
	std::uint64_t word_of(std::uint64_t hash) const { return (hash >> 6) & last_word; }
	static std::uint64_t bit_of(std::uint64_t hash) { return std::uint64_t{1} << (hash & 63); }

	std::uint64_t *words = nullptr;
	std::uint64_t last_word = 0;
};

} // namespace gxy

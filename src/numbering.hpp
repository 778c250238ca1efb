/*
 * numbering.hpp: numbers names, so that what is known of them can be kept in arrays.
 */
#pragma once

#include "compat.hpp"

namespace gxy
{
namespace numbering
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

} // namespace numbering

/* Numbers names in the order of their first appearance. */
class Numbering
{
public:
	/* expected: how many names it may be; a good guess saves the growing. */
	void prepare(int expected = 256)
	{
		table = numbering::names_create(CurrentMemoryContext, static_cast<std::uint32_t>(expected),
										nullptr);
	}

	/* The number of a name; fresh: it got it just now. */
	int number(std::string_view name, bool *fresh)
	{
		bool known;
		numbering::NameEntry *entry = numbering::names_insert(table, name, &known);

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
		numbering::NameEntry *entry =
			table != nullptr ? numbering::names_lookup(table, name) : nullptr;

		return entry != nullptr ? entry->number : -1;
	}

	/* Calls visit(name, number) for every name. */
	template <typename F> void for_each(F visit) const
	{
		numbering::names_iterator iterator;

		numbering::names_start_iterate(table, &iterator);
		while (numbering::NameEntry *entry = numbering::names_iterate(table, &iterator))
			visit(entry->name, entry->number);
	}

private:
	numbering::names_hash *table = nullptr;
};

} // namespace gxy

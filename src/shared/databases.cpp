/*
 * databases.cpp: the directory of databases, an open hash table in a block of its own.
 *
 * It grows by moving to a larger block under the header's lock; no address in it is used without
 * that lock. The entries do not move.
 */
#include "shared/databases.hpp"

namespace gxy
{
namespace
{

struct Slot
{
	Oid database; /* InvalidOid: free */
	SharedPointer entry;
};

constexpr int first_size = 64;

DatabaseEntry *mine = nullptr; /* of this backend's database */
void (*free_function)(SharedPointer load_cache);
Size (*bytes_function)(SharedPointer load_cache);

Directory &
directory()
{
	return shared_header()->directory;
}

Slot *
slots()
{
	return shared<Slot>(directory().slots);
}

int
home_of(Oid database, int size)
{
	return static_cast<int>(murmurhash32(database)) & (size - 1);
}

/* Returns the slot of a database, or the free slot where it would go. */
Slot *
find_slot(Slot *table, int size, Oid database)
{
	int at = home_of(database, size);

	while (table[at].database != InvalidOid && table[at].database != database)
		at = (at + 1) & (size - 1);
	return &table[at];
}

/* The memory for a new entry, allocated before the lock is taken. */
struct Preparation
{
	SharedPointer entry = 0;
	SharedPointer table = 0; /* 0: the old table has space */
	int size = 0;
};

bool
is_full()
{
	return (directory().count + 1) * 2 > directory().size;
}

void
move_to(SharedPointer table, int size)
{
	Slot *fresh = shared<Slot>(table);

	for (int i = 0; i < directory().size; i++)
		if (const Slot &slot = slots()[i]; slot.database != InvalidOid)
			*find_slot(fresh, size, slot.database) = slot;
	directory().slots = table;
	directory().size = size;
}

/*
 * Returns the entry of a database, made from the prepared memory if there is none; nullptr if that
 * does not suffice. What remains in *preparation is to be freed. The caller holds the lock.
 */
DatabaseEntry *
find_or_enter(Oid database, Preparation *preparation)
{
	if (DatabaseEntry *found = find_database(database); found != nullptr)
		return found;
	if (preparation->entry == 0)
		return nullptr;
	if (is_full())
	{
		if (preparation->size <= directory().size)
			return nullptr;

		SharedPointer old = directory().slots;
		int old_size = directory().size;

		move_to(preparation->table, preparation->size);
		preparation->table = old;
		preparation->size = old_size;
	}

	DatabaseEntry *entry = shared<DatabaseEntry>(preparation->entry);

	entry->database = database;
	entry->counts.since = shared_header()->started;
	entry->last_unreported = shared_header()->last_unreported;
	*find_slot(slots(), directory().size, database) =
		Slot{.database = database, .entry = std::exchange(preparation->entry, 0)};
	directory().count++;
	return entry;
}

/*
 * Empties a slot, and moves the entries up that follow it because it was taken when they were
 * added.
 */
void
close_gap(int gap)
{
	int size = directory().size;
	Slot *table = slots();

	for (int at = (gap + 1) & (size - 1); table[at].database != InvalidOid;
		 at = (at + 1) & (size - 1))
		if (((at - home_of(table[at].database, size)) & (size - 1)) >= ((at - gap) & (size - 1)))
		{
			table[gap] = table[at];
			gap = at;
		}
	table[gap] = Slot{.database = InvalidOid, .entry = 0};
}

} // namespace

DatabaseEntry *
find_database(Oid database)
{
	if (directory().size == 0)
		return nullptr;

	const Slot *slot = find_slot(slots(), directory().size, database);

	return slot->database == database ? shared<DatabaseEntry>(slot->entry) : nullptr;
}

DatabaseEntry *
entry_in_slot(int slot)
{
	const Slot &found = slots()[slot];

	return found.database != InvalidOid ? shared<DatabaseEntry>(found.entry) : nullptr;
}

void
set_load_cache_functions(void (*free)(SharedPointer load_cache),
						 Size (*bytes)(SharedPointer load_cache))
{
	free_function = free;
	bytes_function = bytes;
}

bool
make_database(Oid database)
{
	LWLock *lock = shared_header() != nullptr ? &shared_header()->lock : nullptr;
	bool found = false;
	Preparation preparation;
	bool lacks_table = false;

	if (lock == nullptr)
		return false;
	for (;;)
	{
		found = with_lock(lock, LW_EXCLUSIVE, [&] {
			lacks_table = is_full();
			return find_or_enter(database, &preparation) != nullptr;
		});
		if (found)
			break;
		if (preparation.entry == 0)
			preparation.entry = allocate_shared(sizeof(DatabaseEntry));
		if (preparation.entry != 0 && lacks_table)
		{
			int size = std::max(first_size, directory().size * 2);

			free_shared(preparation.table, sizeof(Slot) * preparation.size);
			preparation.table = allocate_shared_array<Slot>(size);
			preparation.size = size;
		}
		if (preparation.entry == 0 || (lacks_table && preparation.table == 0))
			break;
	}
	free_shared(preparation.entry, sizeof(DatabaseEntry));
	free_shared(preparation.table, sizeof(Slot) * preparation.size);
	return found;
}

DatabaseEntry *
my_database()
{
	if (mine == nullptr && OidIsValid(MyDatabaseId) && IsTransactionState())
		(void) with_database(MyDatabaseId, [](DatabaseEntry *entry) {
			entry->kept = true;
			mine = entry;
		});
	return mine;
}

Size
bytes_of(const DatabaseEntry &entry)
{
	return block_size(sizeof(DatabaseEntry)) + bytes_function(entry.load_cache);
}

void
free_database(Oid database, bool (*condition)(const DatabaseEntry &))
{
	SharedPointer entry = 0, load_cache = 0;

	with_lock(&shared_header()->lock, LW_EXCLUSIVE, [&entry, &load_cache, database, condition] {
		DatabaseEntry *found = find_database(database);

		if (found == nullptr || !condition(*found))
			return;

		Slot *slot = find_slot(slots(), directory().size, database);

		entry = slot->entry;
		load_cache = found->load_cache;
		directory().count--;
		close_gap(static_cast<int>(slot - slots()));
	});
	free_function(load_cache);
	free_shared(entry, sizeof(DatabaseEntry));
}

void
free_dropped_databases()
{
	/*
	 * First the entries, then pg_database: a database that gets its entry later may be younger than
	 * the snapshot.
	 */
	Array<Oid> entered = list_databases([](const DatabaseEntry &) { return true; });
	Array<Oid> existing;

	visit_pg_database([&existing](const FormData_pg_database &row) {
		existing.push(row.oid);
		return true;
	});
	std::sort(existing.begin(), existing.end());
	for (Oid database : entered)
		if (!std::binary_search(existing.begin(), existing.end(), database))
			free_database(database, [](const DatabaseEntry &) { return true; });
}

} // namespace gxy

/*
 * writable_since.cpp: notes when the server could first be written to.
 */
#include "shared/writable_since.hpp"

#include "pg/monotonic_clock.hpp"
#include "shared/databases.hpp"
#include "shared/header.hpp"
#include "shared/segments.hpp"

namespace gxy
{
namespace
{

/* The nest level of the (sub)transaction that creates the extension; 0: none. */
int creating_level = 0;

/* Out of recovery, with shared memory. What is noted stays until the server ends. */
const WritableSince &
writable()
{
	static WritableSince known = {};

	if (known.at == 0)
		known = with_lock(&shared_header()->lock, LW_EXCLUSIVE, [] {
			note_writable();
			return shared_header()->writable;
		});
	return known;
}

} // namespace

extern "C"
{
	/* Nothing here may fail; the entry was made before. */
	static void note_at_commit(XactEvent event, void *)
	{
		if (event == XACT_EVENT_COMMIT && creating_level > 0)
			my_database()->created_since_start = true;
		if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
			creating_level = 0;
	}

	static void note_at_subcommit(SubXactEvent event, SubTransactionId, SubTransactionId, void *)
	{
		int level = GetCurrentTransactionNestLevel();

		if (event == SUBXACT_EVENT_ABORT_SUB && creating_level >= level)
			creating_level = 0;
		if (event == SUBXACT_EVENT_COMMIT_SUB)
			creating_level = std::min(creating_level, level - 1);
	}
}

void
note_writable()
{
	if (shared_header()->writable.at == 0)
		shared_header()->writable = {.at = GetCurrentTimestamp(),
									 .monotonic = monotonic_microseconds()};
}

TimestampTz
writable_since()
{
	if (shared_header() == nullptr)
		return PgStartTime;
	if (RecoveryInProgress())
		return GetCurrentTimestamp();
	return writable().at;
}

TimestampTz
ages_count_from()
{
	const DatabaseEntry *database = shared_header() != nullptr ? my_database() : nullptr;

	if (RecoveryInProgress() || (database != nullptr && database->created_since_start))
		return DT_NOBEGIN;
	if (shared_header() == nullptr)
		return PgStartTime;
	return GetCurrentTimestamp() - (monotonic_microseconds() - writable().monotonic);
}

void
note_extension_created()
{
	static bool registered = false;

	if (shared_header() == nullptr || my_database() == nullptr)
		return;
	if (!registered)
	{
		RegisterXactCallback(note_at_commit, nullptr);
		RegisterSubXactCallback(note_at_subcommit, nullptr);
		registered = true;
	}
	creating_level = GetCurrentTransactionNestLevel();
}

} // namespace gxy

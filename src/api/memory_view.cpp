/*
 * memory_view.cpp: adds up the blocks of shared memory by what they are for.
 */
#include "api/memory_view.hpp"

#include "api/result_set.hpp"
#include "pg/array.hpp"
#include "pg/settings.hpp"
#include "shared/databases.hpp"
#include "shared/header.hpp"
#include "shared/segments.hpp"

namespace gxy
{
namespace
{

struct Usage
{
	Oid database;
	std::int64_t bytes;
};

void
put(Row *row, const char *what, const char *database, std::int64_t bytes)
{
	row->add(what);
	row->add_optional(database != nullptr ? database : "");
	row->add(bytes);
	row->put();
}

/* By database. A database that is gone and not freed yet has no name any more. */
Array<Usage>
usage_by_database()
{
	return collect_from_databases<Usage>([](const DatabaseEntry &entry) {
		return std::optional<Usage>({entry.database, static_cast<std::int64_t>(bytes_of(entry))});
	});
}

} // namespace

void
report_memory(FunctionCallInfo fcinfo)
{
	InitMaterializedSRF(fcinfo, 0);
	if (shared_header() == nullptr)
		return;

	Row row(fcinfo);
	std::int64_t in_databases = 0, used = 0, total = 0;

	for (const Usage &usage : usage_by_database())
	{
		put(&row, "database", get_database_name(usage.database), usage.bytes);
		in_databases += usage.bytes;
	}
	with_lock(&shared_header()->lock, LW_SHARED, [&used, &total] {
		used = static_cast<std::int64_t>(shared_header()->segments.used);
		total = static_cast<std::int64_t>(shared_header()->segments.total);
	});
	put(&row, "common", nullptr, std::max<std::int64_t>(used - in_databases, 0));
	put(&row, "free", nullptr, total - used);
	put(&row, "limit", nullptr, static_cast<std::int64_t>(setting::max_shared_memory) * 1024);
}

const char *
memory_trouble()
{
	if (shared_header() == nullptr)
		return has_other_layout()
				   ? "it is that of another version of the library: restart the server"
				   : "the server has none left";
	return with_lock(&shared_header()->lock, LW_SHARED, []() -> const char * {
		const Segments &segments = shared_header()->segments;

		if (segments.refused != 0)
			return "gxy_balancer.max_shared_memory is used up";
		return segments.failed_at != 0 ? "the system has no more" : nullptr;
	});
}

} // namespace gxy

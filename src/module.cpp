/*
 * module.cpp: what happens when the server loads the library.
 */
#include "application/source_query.hpp"
#include "pg/compat.hpp"
#include "pg/new_rows.hpp"
#include "pg/settings.hpp"
#include "servers/pool.hpp"
#include "shared/databases.hpp"
#include "shared/header.hpp"
#include "shared/launcher_claim.hpp"
#include "shared/load_cache.hpp"
#include "tables/catalog.hpp"

extern "C"
{

	GXY_MODULE_MAGIC;

	static void relation_changed(Datum, Oid relation)
	{
		gxy::invalidate_relations(relation);
		gxy::invalidate_pool(relation);
		gxy::invalidate_sources(relation);
		gxy::forget_constraints(relation);
	}

	static void function_changed(Datum, int, uint32)
	{
		gxy::forget_constraints(InvalidOid);
	}

	void _PG_init()
	{
		gxy::set_load_cache_functions(gxy::free_load_cache, gxy::bytes_of_load_cache);
		gxy::define_settings([] { gxy::invalidate_pool(InvalidOid); });
		if (process_shared_preload_libraries_in_progress)
		{
			gxy::reserve_header();
			gxy::register_launcher();
		}
		CacheRegisterRelcacheCallback(relation_changed, Datum(0));
		CacheRegisterSyscacheCallback(PROCOID, function_changed, Datum(0));
	}

} // extern "C"

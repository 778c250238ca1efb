/*
 * compat.hpp: includes the server's headers and hides the differences between PostgreSQL 15 to 18.
 *
 * No other file of the project includes a server header, except lib/simplehash.h. Standard headers
 * come first, because postgres.h redefines names that <cstdio> declares. The server's headers are C
 * and stand in one extern "C" block.
 *
 * Two rules for all code that includes this file:
 * - ereport(ERROR) is a longjmp and runs no destructor. So every object that exists during a call
 *   into the server must be trivially destructible.
 * - An exception that leaves an extern "C" function would end the server. So the project is
 *   compiled with -fno-exceptions, and test/check-objects checks the built objects.
 */
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

// IWYU pragma: begin_exports
extern "C"
{
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/multixact.h"
#include "access/relation.h"
#include "access/stratnum.h"
#include "access/subtrans.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "access/twophase.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_database.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_index.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/async.h"
#include "commands/dbcommands.h"
#include "commands/extension.h"
#include "commands/sequence.h"
#include "commands/trigger.h"
#include "common/hashfn.h"
#include "common/pg_prng.h"
#include "executor/executor.h"
#include "executor/nodeModifyTable.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "nodes/nodes.h"
#include "optimizer/optimizer.h"
#include "parser/parse_node.h"
#include "parser/parsetree.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "rewrite/rewriteHandler.h"
#include "storage/bufmgr.h"
#include "storage/condition_variable.h"
#include "storage/dsm.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "storage/procsignal.h"
#include "storage/shmem.h"
#include "tcop/tcopprot.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/bytea.h"
#include "utils/datetime.h"
#include "utils/datum.h"
#include "utils/float.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/guc_tables.h"
#include "utils/inval.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/plancache.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"
#if PG_VERSION_NUM >= 160000
#include "utils/guc_hooks.h" /* assign_synchronous_commit() */
#else
#include "replication/syncrep.h"
#endif
}
// IWYU pragma: end_exports

#if PG_VERSION_NUM < 150000
#error "gxy_balancer needs PostgreSQL 15 or later"
#endif

/* PostgreSQL 18 shows a library's name and version in pg_get_loaded_modules(). */
#if PG_VERSION_NUM >= 180000
#define GXY_MODULE_MAGIC PG_MODULE_MAGIC_EXT(.name = "gxy_balancer", .version = GXY_VERSION)
#else
#define GXY_MODULE_MAGIC PG_MODULE_MAGIC
#endif

namespace gxy
{

inline std::string_view
view_of(text *value)
{
	return {VARDATA_ANY(value), static_cast<std::size_t>(VARSIZE_ANY_EXHDR(value))};
}

/*
 * Copies the text to a buffer that is large enough. memcpy() takes no null pointer, and an empty
 * text may have one.
 */
inline void
copy_bytes(std::string_view source, char *target)
{
	if (!source.empty())
		std::memcpy(target, source.data(), source.size());
}

/* Copies the text, with a terminating zero byte, into the current memory context. */
inline std::string_view
copy_of(std::string_view source)
{
	char *copy = static_cast<char *>(palloc(source.size() + 1));

	copy_bytes(source, copy);
	copy[source.size()] = '\0';
	return {copy, source.size()};
}

/* Returns a 64-bit hash of the name, never 0: hash tables use 0 for an empty entry. */
inline std::uint64_t
name_hash(std::string_view name)
{
	std::uint64_t hash = hash_bytes_extended(reinterpret_cast<const unsigned char *>(name.data()),
											 static_cast<int>(name.size()), 0);

	return hash != 0 ? hash : 1;
}

inline text *
text_of(std::string_view source)
{
	return cstring_to_text_with_len(source.empty() ? "" : source.data(),
									static_cast<int>(source.size()));
}

namespace compat
{

inline IndexScanDesc
index_beginscan(Relation heap, Relation index, Snapshot snapshot, int keys)
{
#if PG_VERSION_NUM >= 180000
	return ::index_beginscan(heap, index, snapshot, nullptr, keys, 0);
#else
	return ::index_beginscan(heap, index, snapshot, keys, 0);
#endif
}

/*
 * Inserts the index entries of a new tuple. speculative_conflict is nullptr for an ordinary insert
 * or an update. Otherwise the insert is speculative: it does not wait for other transactions and
 * sets *speculative_conflict if it finds a duplicate key.
 */
inline void
insert_index_tuples(ResultRelInfo *target, TupleTableSlot *slot, EState *estate, bool update,
					bool only_summarizing, bool *speculative_conflict)
{
	bool speculative = speculative_conflict != nullptr;
	List *recheck;

#if PG_VERSION_NUM >= 160000
	recheck = ExecInsertIndexTuples(target, slot, estate, update, speculative, speculative_conflict,
									NIL, only_summarizing);
#else
	(void) only_summarizing;
	recheck =
		ExecInsertIndexTuples(target, slot, estate, update, speculative, speculative_conflict, NIL);
#endif
	list_free(recheck);
}

/* Returns where ExecConstraints() keeps the compiled CHECK constraints of a ResultRelInfo. */
inline ExprState **&
compiled_checks(ResultRelInfo *target)
{
#if PG_VERSION_NUM >= 180000
	return target->ri_CheckConstraintExprs;
#else
	return target->ri_ConstraintExprs;
#endif
}

inline bool
has_generated_columns(const TupleConstr *constraints)
{
#if PG_VERSION_NUM >= 180000
	return constraints->has_generated_stored || constraints->has_generated_virtual;
#else
	return constraints->has_generated_stored;
#endif
}

/* The file of a relation, which a rewrite such as VACUUM FULL changes. */
#if PG_VERSION_NUM >= 160000
using RelationFile = RelFileLocator;
#else
using RelationFile = RelFileNode;
#endif

inline RelationFile
file_of(Relation relation)
{
#if PG_VERSION_NUM >= 160000
	return relation->rd_locator;
#else
	return relation->rd_node;
#endif
}

/* Pins a buffer that held this block earlier. Returns false if it now holds another page. */
inline bool
read_recent_buffer(RelationFile file, BlockNumber block, Buffer buffer)
{
	return ReadRecentBuffer(file, MAIN_FORKNUM, block, buffer);
}

/* Which indexes need an entry after an update: all, only summarizing ones (from 16), or none. */
struct IndexUpdates
{
#if PG_VERSION_NUM >= 160000
	TU_UpdateIndexes which = TU_None;

	bool any() const
	{
		return which != TU_None;
	}
	bool only_summarizing() const
	{
		return which == TU_Summarizing;
	}
#else
	bool which = false;

	bool any() const
	{
		return which;
	}
	bool only_summarizing() const
	{
		return false;
	}
#endif
};

/* Returns the server's record of a setting with its stack of saved values; nullptr if unknown. */
inline const config_generic *
find_setting(const char *name)
{
#if PG_VERSION_NUM >= 160000
	return find_option(name, false, true, 0);
#else
	config_generic **settings = get_guc_variables();
	int count = GetNumConfigOptions();

	for (int i = 0; i < count; i++)
		if (strcmp(settings[i]->name, name) == 0)
			return settings[i];
	return nullptr;
#endif
}

/* Returns a number below MaxBackends that no other live process has. */
inline int
backend_number()
{
#if PG_VERSION_NUM >= 170000
	return MyProcNumber;
#else
	return MyProc->pgprocno;
#endif
}

/* Returns whether this process is a background worker. */
inline bool
is_background_worker()
{
#if PG_VERSION_NUM >= 170000
	return AmBackgroundWorkerProcess();
#else
	return IsBackgroundWorker;
#endif
}

inline const auto &
transaction_ids()
{
#if PG_VERSION_NUM >= 170000
	return *TransamVariables;
#else
	return *ShmemVariableCache;
#endif
}

/* Returns the oldest transaction whose outcome pg_xact still has. Hold XactTruncationLock. */
inline TransactionId
oldest_known_transaction()
{
	return transaction_ids().oldestClogXid;
}

/* A walker's type before PostgreSQL 16. The cast via void * avoids a warning. */
using AnyFunction = bool (*)();

inline AnyFunction
any_function(bool (*walker)(Node *, void *))
{
	return reinterpret_cast<AnyFunction>(reinterpret_cast<void *>(walker));
}

/* Walks a query. The walker sees each RangeTblEntry before the contents of the entry. */
inline bool
walk_query(Query *query, bool (*walker)(Node *, void *), void *context)
{
#if PG_VERSION_NUM >= 160000
	return query_tree_walker(query, walker, context, QTW_EXAMINE_RTES_BEFORE);
#else
	return query_tree_walker(query, any_function(walker), context, QTW_EXAMINE_RTES_BEFORE);
#endif
}

/* Walks the children of an expression node. */
inline bool
walk_expression(Node *node, bool (*walker)(Node *, void *), void *context)
{
#if PG_VERSION_NUM >= 160000
	return expression_tree_walker(node, walker, context);
#else
	return expression_tree_walker(node, any_function(walker), context);
#endif
}

/* Sets search_path to "pg_catalog, pg_temp" until the current GUC nest level ends. */
inline void
restrict_search_path()
{
#if PG_VERSION_NUM >= 170000
	RestrictSearchPath();
#else
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
#endif
}

inline bool
owns_relation(Oid relation, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_ownercheck(RelationRelationId, relation, role);
#else
	return pg_class_ownercheck(relation, role);
#endif
}

} // namespace compat
} // namespace gxy

/*
 * assignments_insert.cpp: the insertion of a new assignment.
 *
 * Speculative (pg/heap_access.hpp): should another row of the room get in at the same moment, which only an application's own
 * statement can bring about, the row is withdrawn and nobody is waited for.
 */
#include "tables/assignments_insert.hpp"

#include "tables/catalog.hpp"
#include "tables/columns.hpp"
#include "tables/owner_code.hpp"

namespace gxy
{
namespace
{

/*
 * The table's CHECK constraints, compiled. To compile them takes as long as everything else about an insertion together,
 * so they are kept for as long as the table does not change.
 */
struct Checks
{
	std::uint64_t edition = 0; /* of relations() */
	EState *estate = nullptr;
	ExprState **compiled = nullptr;

	void forget()
	{
		if (estate != nullptr)
			FreeExecutorState(estate);
		*this = Checks();
	}
};
static_assert(std::is_trivially_destructible_v<Checks>);

Checks kept;

/* While in use they belong to the transaction: a constraint may raise an error, or call us again. */
void
check_constraints(ResultRelInfo *target, TupleTableSlot *slot)
{
	std::uint64_t edition = relations().edition;
	Checks checks = kept;

	kept = Checks();
	if (checks.edition != edition)
	{
		checks.forget();
		checks.edition = edition;
		checks.estate = CreateExecutorState();
	}
	MemoryContextSetParent(checks.estate->es_query_cxt, CurTransactionContext);
	ResetPerTupleExprContext(checks.estate);
	compat::compiled_checks(target) = checks.compiled;
	ExecConstraints(target, slot, checks.estate);
	checks.compiled = compat::compiled_checks(target);
	kept.forget();
	MemoryContextSetParent(checks.estate->es_query_cxt, TopMemoryContext);
	kept = checks;
}

} // namespace

Insertion
Insertion::prepare(const Assignments &assignments)
{
	Insertion prepared;

	prepared.estate = CreateExecutorState();
	prepared.target = makeNode(ResultRelInfo);
	InitResultRelInfo(prepared.target, assignments.table(), 0, nullptr, 0);
	as_table_owner(assignments.table(), [&prepared] { ExecOpenIndices(prepared.target, true); });
	prepared.slot = MakeSingleTupleTableSlot(RelationGetDescr(assignments.table()), &TTSOpsVirtual);
	/* Before the placement lock: it may have to wait for disk. */
	(void) GetCurrentTransactionId();
	return prepared;
}

bool
Insertion::insert(const RoomKey &room, const Assignment &row)
{
	Relation heap = target->ri_RelationDesc;
	auto set = [this](int column, Datum value) {
		slot->tts_values[column - 1] = value;
		slot->tts_isnull[column - 1] = false;
	};

	ExecClearTuple(slot);
	std::fill_n(slot->tts_isnull, RelationGetDescr(heap)->natts, true);
	set(assignments_room, room.as_datum());
	set(assignments_server, PointerGetDatum(text_of(row.server)));
	if (!row.region.empty())
		set(assignments_region, PointerGetDatum(text_of(row.region)));
	set(assignments_assigned_at, TimestampTzGetDatum(row.assigned_at));
	set(assignments_last_used_at, TimestampTzGetDatum(row.last_used_at));
	if (!row.reason.empty())
		set(assignments_reason, PointerGetDatum(text_of(row.reason)));
	if (row.expected_users)
		set(assignments_expected_users, Int32GetDatum(*row.expected_users));
	ExecStoreVirtualTuple(slot);
	slot->tts_tableOid = RelationGetRelid(heap);

	bool inserted;

	as_table_owner(heap, [&] {
		check_constraints(target, slot);
		inserted = insert_row(target, slot, estate);
	});
	return inserted;
}

void
Insertion::finish()
{
	ExecCloseIndices(target);
	ExecDropSingleTupleTableSlot(slot);
	FreeExecutorState(estate);
}

} // namespace gxy

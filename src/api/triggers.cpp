/*
 * triggers.cpp: the trigger functions on the extension's tables.
 *
 * They check changes to balancer_servers and balancer_pins, send relcache invalidations for the
 * copies that backends keep of small tables, declare and end failovers after a change of a server's
 * state, and pass the application's own changes of assignments to the load cache. The extension's
 * own writes to assignments fire no triggers (pg/heap_access.hpp).
 */
#include "pg/array.hpp"
#include "pg/compat.hpp"
#include "pg/lock_timeout.hpp"
#include "pg/row.hpp"
#include "pg/settings.hpp"
#include "placement/server_load.hpp"
#include "policy/placement_policy.hpp"
#include "servers/failover.hpp"
#include "servers/pool.hpp"
#include "servers/server_removal.hpp"
#include "servers/server_state.hpp"
#include "shared/load_cache.hpp"
#include "tables/assignments.hpp"
#include "tables/catalog.hpp"
#include "tables/columns.hpp"
#include "tables/owner_sql.hpp"

namespace gxy
{
namespace
{

/*
 * Returns a palloc'd text column of a trigger's row, nullopt if it is NULL. NULL can occur in any
 * column, because the server checks NOT NULL after BEFORE triggers.
 */
std::optional<std::string_view>
text_in(TriggerData *trigger, HeapTuple tuple, int column)
{
	TupleRow row(tuple, RelationGetDescr(trigger->tg_relation));
	std::optional<std::string_view> text = row.text(column);

	return text ? std::optional<std::string_view>(copy_of(*text)) : std::nullopt;
}

/*
 * Raises 55000 if balancer_servers has never had a row. Runs after UPDATE and before DELETE. Not
 * before UPDATE: INSERT ... ON CONFLICT DO UPDATE fires that trigger too, also if it only inserts.
 */
void
guard_unwritten_pool()
{
	CommandCounterIncrement();
	if (pool(Deadline::of_call_starting_now()).is_default)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("the pool of servers is not written yet"),
						errdetail("balancer_servers has never had a row; the names in "
								  "gxy_balancer.default_servers are the pool."),
						errhint("SELECT init_servers() writes them, then try again.")));
}

void
guard_server_with_rooms(TriggerData *trigger)
{
	bool deleted = TRIGGER_FIRED_BY_DELETE(trigger->tg_event);
	std::optional<std::string_view> name = text_in(trigger, trigger->tg_trigtuple, servers_name);

	if (!name || (!deleted && text_in(trigger, trigger->tg_newtuple, servers_name) == name))
		return;

	guard_removal(*name, deleted);
	if (deleted)
		guard_server_with_pins(*name);
}

/* Raises 23514 with a hint before the CHECK constraint would without one. Accepts NULL. */
void
check_server_name(TriggerData *trigger, HeapTuple tuple)
{
	std::optional<std::string_view> name = text_in(trigger, tuple, servers_name);
	const char *complaint = name ? server_name_complaint(*name) : nullptr;

	if (complaint != nullptr)
		ereport(ERROR, (errcode(ERRCODE_CHECK_VIOLATION),
						errmsg("invalid server name \"%s\"", name->data()),
						errdetail_internal("%s", complaint),
						errhint("A server name has 1 to %d bytes, no comma, no control character, "
								"and no blank at either end.",
								max_name_length)));
}

/* Raises 23514 with a hint before the CHECK constraint would without one. Accepts NULL. */
void
check_regions(TriggerData *trigger, HeapTuple tuple)
{
	TupleRow row(tuple, RelationGetDescr(trigger->tg_relation));

	for (std::string_view region : row.texts(servers_regions))
		if (region.find(',') != std::string_view::npos)
			ereport(ERROR,
					(errcode(ERRCODE_CHECK_VIOLATION),
					 errmsg("invalid region \"%s\"", copy_of(region).data()),
					 errdetail("A region of a server has a comma."),
					 errhint("Callers name several regions with commas between them, so name "
							 "each region as an element of its own: '{IL,EU}'.")));
}

void
check_server(TriggerData *trigger, HeapTuple tuple)
{
	check_server_name(trigger, tuple);
	check_regions(trigger, tuple);
}

/* Changes the pins of a renamed server to its new name. */
void
rename_pins(TriggerData *trigger)
{
	std::optional<std::string_view> was = text_in(trigger, trigger->tg_trigtuple, servers_name);
	std::optional<std::string_view> is = text_in(trigger, trigger->tg_newtuple, servers_name);

	if (!was || !is)
		return;
	CommandCounterIncrement();
	(void) run_as_owner(&Relations::pins, Deadline::of_call_starting_now(),
						"UPDATE %s SET server = $2 WHERE server = $1",
						{Argument::of(*was), Argument::of(*is)});
}

/*
 * Locks the server of a pin, so that it cannot be deleted before the transaction ends; raises an
 * error if it is not in the pool. Does nothing while balancer_servers is empty, because a restore
 * may load the pins before the servers.
 */
void
guard_pin(TriggerData *trigger)
{
	HeapTuple tuple =
		TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newtuple : trigger->tg_trigtuple;
	std::optional<std::string_view> server = text_in(trigger, tuple, pins_server);

	if (!server)
		return;

	Deadline deadline = Deadline::of_call_starting_now();

	if (pool_without_pins(deadline).written)
		hold_server(*server, deadline);
}

/* Sends the notification of a server's new state. */
void
notify_state(TriggerData *trigger)
{
	std::optional<std::string_view> name = text_in(trigger, trigger->tg_newtuple, servers_name);
	std::optional<std::string_view> was = text_in(trigger, trigger->tg_trigtuple, servers_state);
	std::optional<std::string_view> is = text_in(trigger, trigger->tg_newtuple, servers_state);

	if (name && was && is)
		announce_state(*name, *was, *is);
}

Datum
result_of_row_trigger(TriggerData *trigger)
{
	return PointerGetDatum(TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newtuple
																	  : trigger->tg_trigtuple);
}

/*
 * Calls f(TriggerData *), the body of a trigger function. Raises 39P01 if it is not called as one
 * of its triggers, which is_expected(event) tells: f relies on the rows that these have.
 */
template <typename E, typename F>
Datum
as_trigger(FunctionCallInfo fcinfo, E is_expected, F f)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("this function is called by triggers only")));

	TriggerData *trigger = reinterpret_cast<TriggerData *>(fcinfo->context);

	if (!is_expected(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("trigger \"%s\" of table \"%s\" is not as the extension made it",
						trigger->tg_trigger->tgname, RelationGetRelationName(trigger->tg_relation)),
				 errhint("Drop it.")));
	return as_call([trigger, &f] { return f(trigger); });
}

bool
is_after_row(TriggerEvent event)
{
	return TRIGGER_FIRED_AFTER(event) && TRIGGER_FIRED_FOR_ROW(event);
}

bool
is_before_row(TriggerEvent event)
{
	return TRIGGER_FIRED_BEFORE(event) && TRIGGER_FIRED_FOR_ROW(event);
}

/* Adds a change of a row by the application's own statement to the load cache. */
void
note_row(TriggerData *trigger)
{
	TupleDesc descriptor = RelationGetDescr(trigger->tg_relation);
	Rules rules = current_rules();
	bool updated = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event);

	if (!TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
	{
		Assignment row = assignment_of(trigger->tg_trigtuple, descriptor);

		if (!row.server.empty())
			record_at_commit(row.server, removed_load_of(row, rules),
							 first_inserter(trigger->tg_trigtuple));
		if (!row.room.empty())
			record_orphan(row.room);
	}
	if (!TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
	{
		Assignment row =
			assignment_of(updated ? trigger->tg_newtuple : trigger->tg_trigtuple, descriptor);

		if (!row.server.empty())
			record_room_added(row.server, added_load_of(row, rules));
	}
}

Datum
forget_backend_copies(TriggerData *trigger)
{
	CacheInvalidateRelcache(trigger->tg_relation);
	return PointerGetDatum(nullptr);
}

Datum
guard_servers(TriggerData *trigger)
{
	TriggerEvent event = trigger->tg_event;

	if (TRIGGER_FIRED_BY_TRUNCATE(event))
	{
		if (TRIGGER_FIRED_BEFORE(event))
			note_truncation_of_servers();
		else
			guard_truncation_of_servers();
		return PointerGetDatum(nullptr);
	}
	if (TRIGGER_FIRED_FOR_STATEMENT(event))
	{
		guard_unwritten_pool();
		return PointerGetDatum(nullptr);
	}
	if (TRIGGER_FIRED_BY_INSERT(event))
		check_server(trigger, trigger->tg_trigtuple);
	else if (TRIGGER_FIRED_BY_UPDATE(event))
		check_server(trigger, trigger->tg_newtuple);
	if (!TRIGGER_FIRED_BY_INSERT(event))
		guard_server_with_rooms(trigger);
	return result_of_row_trigger(trigger);
}

Datum
guard_pins(TriggerData *trigger)
{
	if (TRIGGER_FIRED_BEFORE(trigger->tg_event))
		guard_pin(trigger);
	else
		rename_pins(trigger);
	return result_of_row_trigger(trigger);
}

Datum
note_change(TriggerData *trigger)
{
	if (TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event))
		record_truncation();
	else
		note_row(trigger);
	return PointerGetDatum(nullptr);
}

/*
 * The lock on server states is taken in the BEFORE trigger, before any row lock. Otherwise two
 * transactions could deadlock, each with a row lock that the holder of the state lock needs.
 */
Datum
reconcile_changed_servers(TriggerData *trigger)
{
	Deadline deadline = Deadline::of_call_starting_now();

	if (TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		notify_state(trigger);
	else if (TRIGGER_FIRED_BEFORE(trigger->tg_event))
	{
		lock_server_states(deadline);
		/* Reads the pool, which announce_state() uses without reading it again. */
		(void) pool(deadline);
	}
	else
	{
		CommandCounterIncrement();
		reconcile_pool_change(deadline);
	}
	return PointerGetDatum(nullptr);
}

} // namespace
} // namespace gxy

extern "C"
{
	PG_FUNCTION_INFO_V1(gxy_forget_backend_copies);
	Datum gxy_forget_backend_copies(PG_FUNCTION_ARGS)
	{
		return gxy::as_trigger(fcinfo, gxy::is_after_row, gxy::forget_backend_copies);
	}

	PG_FUNCTION_INFO_V1(gxy_note_pool_written);
	Datum gxy_note_pool_written(PG_FUNCTION_ARGS)
	{
		return gxy::as_trigger(fcinfo, gxy::is_after_row, [](TriggerData *trigger) {
			if (gxy::note_pool_written() && TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
				gxy::warn_of_rooms_left_out();
			return PointerGetDatum(nullptr);
		});
	}

	PG_FUNCTION_INFO_V1(gxy_guard_servers);
	Datum gxy_guard_servers(PG_FUNCTION_ARGS)
	{
		return gxy::as_trigger(
			fcinfo,
			[](TriggerEvent event) {
				return TRIGGER_FIRED_FOR_STATEMENT(event) || gxy::is_before_row(event);
			},
			gxy::guard_servers);
	}

	PG_FUNCTION_INFO_V1(gxy_guard_pins);
	Datum gxy_guard_pins(PG_FUNCTION_ARGS)
	{
		return gxy::as_trigger(
			fcinfo,
			[](TriggerEvent event) {
				return gxy::is_before_row(event)
						   ? !TRIGGER_FIRED_BY_DELETE(event)
						   : gxy::is_after_row(event) && TRIGGER_FIRED_BY_UPDATE(event);
			},
			gxy::guard_pins);
	}

	PG_FUNCTION_INFO_V1(gxy_note_change);
	Datum gxy_note_change(PG_FUNCTION_ARGS)
	{
		return gxy::as_trigger(
			fcinfo,
			[](TriggerEvent event) {
				return gxy::is_after_row(event) || TRIGGER_FIRED_BY_TRUNCATE(event);
			},
			gxy::note_change);
	}

	PG_FUNCTION_INFO_V1(gxy_reconcile_failovers);
	Datum gxy_reconcile_failovers(PG_FUNCTION_ARGS)
	{
		return gxy::as_trigger(
			fcinfo,
			[](TriggerEvent event) {
				return TRIGGER_FIRED_FOR_STATEMENT(event) ||
					   (gxy::is_after_row(event) && TRIGGER_FIRED_BY_UPDATE(event));
			},
			gxy::reconcile_changed_servers);
	}
}

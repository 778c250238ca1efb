/*
 * explain.cpp: implements explain_assignment().
 *
 * Calls the same functions as get_or_assign_server() up to the placement decision, then reports the
 * decision instead of writing it. Takes no placement lock and no room lock.
 */
#include "api/explain.hpp"

#include "api/result_set.hpp"
#include "application/room_reader.hpp"
#include "application/source_reader.hpp"
#include "pg/array.hpp"
#include "pg/lock_timeout.hpp"
#include "pg/settings.hpp"
#include "placement/candidates.hpp"
#include "policy/placement_policy.hpp"
#include "rooms/relocation.hpp"
#include "rooms/room_existence.hpp"
#include "servers/pool.hpp"
#include "tables/locks.hpp"

namespace gxy
{
namespace
{

Datum
score_of(const Server &server)
{
	auto share_of = [](std::int64_t part, std::int64_t whole) {
		return DirectFunctionCall2(numeric_div, NumericGetDatum(int64_to_numeric(part)),
								   NumericGetDatum(int64_to_numeric(whole)));
	};
	Datum score = is_measured_fuller(server)
					  ? DirectFunctionCall2(numeric_add, share_of(server.measured, full_measure),
											share_of(server.awaited, server.capacity))
					  : share_of(server.load, server.capacity);

	return DirectFunctionCall2(numeric_round, score, Int32GetDatum(4));
}

const char *
list_of(const Array<std::string_view> &regions)
{
	StringInfoData list;

	initStringInfo(&list);
	for (std::string_view region : regions)
	{
		if (list.len > 0)
			appendStringInfoString(&list, ", ");
		appendBinaryStringInfo(&list, region.data(), static_cast<int>(region.size()));
	}
	return list.data;
}

Datum
array_of(const Array<std::string_view> &names)
{
	Datum *elements = static_cast<Datum *>(palloc(sizeof(Datum) * static_cast<Size>(names.count)));

	for (int i = 0; i < names.count; i++)
		elements[i] = PointerGetDatum(text_of(names[i]));
	return PointerGetDatum(
		construct_array(elements, names.count, TEXTOID, -1, false, TYPALIGN_INT));
}

/* Returns how full a server is with the room, such as "12 + 10 of 400". */
const char *
fullness_in_words(const Server &server, const PoolFacts &pool_facts, const char *relation)
{
	return psprintf("%lld%s + %lld %s %lld", static_cast<long long>(users_in_force(server)),
					is_measured_fuller(server) ? " measured" : "",
					static_cast<long long>(pool_facts.addition), relation,
					static_cast<long long>(server.capacity));
}

/* Returns the reason for the tier of a server that was not chosen. */
const char *
standing_in_words(const Server &server, const PoolServer &known, const Verdict &verdict,
				  const PoolFacts &pool_facts)
{
	switch (verdict.standing)
	{
		case Standing::in_progress:
			return psprintf("%lld sessions of the room are here",
							static_cast<long long>(server.room_sessions));
		case Standing::pinned:
			return "pinned";
		case Standing::home:
			return "home";
		case Standing::own_region:
		case Standing::general:
			if (pool_facts.outsized)
				return psprintf("empty, and the room is larger than any server: %lld > %lld",
								static_cast<long long>(pool_facts.addition),
								static_cast<long long>(server.capacity));
			return psprintf("%s: %s",
							server.held_back ? "back from an outage, leaves this room to others"
											 : "has room",
							fullness_in_words(server, pool_facts, "of"));
		case Standing::over_capacity:
			return psprintf("at capacity: %s", fullness_in_words(server, pool_facts, ">"));
		case Standing::elsewhere:
			return server.pool == ServerPool::standby
					   ? "standby"
					   : psprintf("reserved for %s", list_of(known.regions));
		case Standing::recovering:
			return psprintf("recovering until %s", time_of_day(known.recovering_until()));
		case Standing::draining:
			return "draining";
		case Standing::offline:
			return "offline";
		case Standing::absent:
			return server.pinned ? "pinned, but the room does not exist here"
				   : server.home ? "home, but the room does not exist here"
								 : "room does not exist here";
		case Standing::excluded:
			break;
	}
	return "reserved for pins and moves";
}

const char *
expected_from_in_words(const PlacementInput &input)
{
	switch (input.expected_from)
	{
		case ExpectedFrom::caller:
			return "caller";
		case ExpectedFrom::pin:
			return "pin";
		case ExpectedFrom::rooms:
			return "rooms";
		case ExpectedFrom::learned:
			return psprintf("learned from %d occasion%s", input.occasions,
							input.occasions == 1 ? "" : "s");
		case ExpectedFrom::use:
			return "in the room";
		case ExpectedFrom::average:
			break;
	}
	return "average";
}

/* The result that get_or_assign_server() would have for a room. */
struct Prediction
{
	PlacementInput input;
	Server *servers = nullptr;
	int chosen = -1; /* index into servers; -1: none */
	const char *reason = nullptr;
	std::string_view outside; /* the room's server, if that is not in the pool; empty: it is */
	/* Why the room's size or the loads are unknown. Then no server is chosen for a new room. */
	std::optional<ReadFailure> size_failure, load_failure;

	bool is_known() const { return !size_failure && !load_failure; }
};

/* Adds the columns that do not depend on the decision. */
void
add_numbers(Row *row, const Server &server, const PoolServer &known, const Prediction &prediction)
{
	row->add_if(!prediction.load_failure, server.load);
	row->add(static_cast<int>(server.capacity));
	row->add_if(!prediction.size_failure, static_cast<int>(prediction.input.expected()));
	row->add_if(!prediction.size_failure, expected_from_in_words(prediction.input));
	row->add_if(!prediction.load_failure, score_of(server));
	row->add(server.rooms);
	row->add_if(!prediction.load_failure, server.room_sessions);
	row->add(static_cast<int>(server.priority));
	row->add(name_of(server.state));
	row->add(name_of(server.pool));
	if (known.regions.count > 0)
		row->add(array_of(known.regions));
	else
		row->add_null();
	row->add_if(!prediction.load_failure, is_measured_fuller(server) ? "measured" : "counted");
}

/* Adds the row of a room's server that is not in the pool, of which little is known. */
void
add_outside(Row *row, const Prediction &prediction)
{
	row->add_null();
	row->add(prediction.outside);
	row->add(true);
	row->add_null();
	row->add(prediction.reason);
	for (int i = 0; i < 8; i++)
		row->add_null();
	row->add(name_of(ServerState::offline));
	row->add_null();
	row->add_null();
	row->add_null();
	row->put();
}

/* Decides about a room without a server, or whose server has failed (request.leaving). */
void
predict_placement(const PlacementRequest &request, const Assignments &assignments,
				  Prediction *prediction)
{
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());

	prediction->servers = count_servers(request, prediction->input, assignments, snapshot);
	UnregisterSnapshot(snapshot);
	if (!prediction->is_known())
		return;

	Decision decision = decide(prediction->servers, prediction->input.pool->servers.count,
							   prediction->input.expected(), prediction->input.rules);

	if (!request.leaving.empty() && !is_acceptable(decision))
		return;
	prediction->chosen = decision.server;
	if (decision.server < 0)
		return;
	prediction->reason =
		request.leaving.empty()
			? reason_of(decision, prediction->servers[decision.server], prediction->input)
			: reason_of_move("failover", request.leaving);
}

/* Returns where callers of the row's room are sent, as get_or_assign() does. */
RoomLocation
locate(const Pool &pool, const Assignment &row, const PlacementRequest &request)
{
	RoomLocation where = pool.locate(row.server, row.assigned_at, request.now);

	if (!claim_holds(pool, where, row.room))
		where = {.server = pool.find(row.server), .moved = false, .stranded = true};
	return where;
}

Prediction
predict(const PlacementRequest &request, const Assignments &assignments)
{
	Prediction prediction;
	std::optional<Found> current = assignments.find(*request.room);
	std::optional<Assignment> row = current ? assignments.read(&current->tid) : std::nullopt;
	auto where_in = [&row, &request](const Pool &pool) {
		return row ? locate(pool, *row, request) : RoomLocation();
	};
	bool stranded = where_in(pool(request.deadline)).stranded;

	prediction.input.pool = &pool(request.deadline);
	prediction.input.rules = current_rules();
	if (stranded)
	{
		PlacementRequest move = request;

		move.leaving = row->server;
		prediction.load_failure = try_reading([&prediction, &request, &row] {
			prediction.input =
				gather_input_for_move(pool(request.deadline), request.now, request.deadline);
			prediction.input.exists_on =
				servers_of(*prediction.input.pool, {&*row, 1}, false, request.deadline)
					.of(row->room);
		});
		prediction.input.region = row->region;
		prediction.size_failure = prediction.load_failure;
		if (prediction.is_known())
			expect_current_users(&prediction.input, *row, request.now);
		predict_placement(move, assignments, &prediction);
	}
	else
	{
		PlacementRequest placement = request;

		placement.assigned = row.has_value();
		prediction.size_failure =
			try_reading([&prediction, &placement] { prediction.input = gather_input(placement); });
		prediction.load_failure =
			try_reading([&prediction, &request] { index_sessions(request, &prediction.input); });
		predict_placement(request, assignments, &prediction);
	}

	/* Look again: reading may have replaced the backend's copy of the pool by a newer one. */
	RoomLocation where = where_in(*prediction.input.pool);

	if (row && !(stranded && (prediction.chosen >= 0 || !prediction.is_known())))
	{
		prediction.chosen = where.server;
		if (where.server < 0)
			prediction.outside = copy_of(row->server);
		prediction.reason = where.moved		  ? reason_of_move("failover", row->server)
							: !where.stranded ? "the room is assigned here"
							: prediction.input.exists_on.everywhere
								? "the room is assigned here, and no other server is online"
								: "the room is assigned here, and no other server with the room "
								  "is online";
	}
	return prediction;
}

} // namespace

void
report_explanation(FunctionCallInfo fcinfo, const RoomKey &room, std::string_view region,
				   std::optional<int> expected_users)
{
	TimestampTz now = GetCurrentTimestamp();
	PlacementRequest request = {.room = &room,
								.region = region,
								.expected_users = expected_users,
								.now = now,
								.deadline = Deadline::of_call_starting_now()};

	InitMaterializedSRF(fcinfo, 0);

	Assignments assignments = open_assignments(AccessShareLock, request.deadline);
	Prediction prediction = predict(request, assignments);
	const Pool &pool = *prediction.input.pool;
	const Server *servers = prediction.servers;
	int count = pool.servers.count;
	PoolFacts pool_facts =
		gather_pool_facts(servers, count, prediction.input.expected(), prediction.input.rules);
	Verdict *verdicts =
		static_cast<Verdict *>(palloc(sizeof(Verdict) * static_cast<Size>(count + 1)));
	int *order = static_cast<int *>(palloc(sizeof(int) * static_cast<Size>(count + 1)));

	assignments.close();
	for (int i = 0; i < count; i++)
	{
		verdicts[i] = judge(servers[i], pool_facts);
		order[i] = i;
	}
	std::sort(order, order + count, [&](int a, int b) {
		if ((a == prediction.chosen) != (b == prediction.chosen))
			return a == prediction.chosen;
		if (!prediction.is_known())
			return servers[a].position != servers[b].position
					   ? servers[a].position < servers[b].position
					   : servers[a].name < servers[b].name;
		return precedes(servers[a], verdicts[a], servers[b], verdicts[b], prediction.input.rules);
	});

	const char *problem = prediction.size_failure	? in_words(*prediction.size_failure)
						  : prediction.load_failure ? in_words(*prediction.load_failure)
													: nullptr;
	Row row(fcinfo);

	if (!prediction.outside.empty())
		add_outside(&row, prediction);
	for (int rank = 0; rank < count; rank++)
	{
		int i = order[rank];

		row.add_if(prediction.is_known(), rank + 1);
		row.add(servers[i].name);
		row.add(prediction.chosen == i);
		row.add_if(prediction.is_known(), tier(verdicts[i].standing));
		row.add(prediction.chosen == i ? prediction.reason
				: problem != nullptr
					? problem
					: standing_in_words(servers[i], pool.servers[i], verdicts[i], pool_facts));
		add_numbers(&row, servers[i], pool.servers[i], prediction);
		row.put();
	}
}

} // namespace gxy

/*
 * explain.cpp: goes the way of a call, up to the decision, and puts it into words.
 */
#include "api/explain.hpp"

#include "rooms/relocation.hpp"
#include "api/result_set.hpp"

namespace gxy
{
namespace
{

Datum
score_of(const Server &server)
{
	Datum score = DirectFunctionCall2(numeric_div, NumericGetDatum(int64_to_numeric(server.load)),
									  NumericGetDatum(int64_to_numeric(server.capacity)));

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

/* Why a server stands where it stands, for one that was not chosen. */
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
		case Standing::own_region:
		case Standing::general:
			if (pool_facts.outsized)
				return psprintf("empty, and the room is larger than any server: %lld > %lld",
								static_cast<long long>(pool_facts.addition),
								static_cast<long long>(server.capacity));
			return psprintf("has room: %lld + %lld of %lld", static_cast<long long>(server.load),
							static_cast<long long>(pool_facts.addition),
							static_cast<long long>(server.capacity));
		case Standing::over_capacity:
			return psprintf("at capacity: %lld + %lld > %lld", static_cast<long long>(server.load),
							static_cast<long long>(pool_facts.addition),
							static_cast<long long>(server.capacity));
		case Standing::elsewhere:
			return server.pool == ServerPool::standby
					   ? "standby"
					   : psprintf("reserved for %s", list_of(known.regions));
		case Standing::draining:
			return "draining";
		case Standing::offline:
			return "offline";
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

/* What get_or_assign() would do with a room. */
struct Outlook
{
	PlacementInput input;
	Server *servers = nullptr;
	int chosen = -1; /* index into the servers, -1: none of them */
	const char *reason = nullptr;
	/* Why the room's size, or the servers' loads, are unknown: no server can be chosen for a room that needs one. */
	std::optional<ReadFailure> size_failure, load_failure;

	bool is_known() const { return !size_failure && !load_failure; }
};

/* The columns of an explanation that do not depend on the choice. */
void
add_numbers(Row *row, const Server &server, const PoolServer &known, const Outlook &outlook)
{
	row->add_if(!outlook.load_failure, server.load);
	row->add(static_cast<int>(server.capacity));
	row->add_if(!outlook.size_failure, static_cast<int>(outlook.input.expected()));
	row->add_if(!outlook.size_failure, expected_from_in_words(outlook.input));
	row->add_if(!outlook.load_failure, score_of(server));
	row->add(server.rooms);
	row->add_if(!outlook.load_failure, server.room_sessions);
	row->add(static_cast<int>(server.priority));
	row->add(name_of(server.state));
	row->add(name_of(server.pool));
	if (known.regions.count > 0)
		row->add(array_of(known.regions));
	else
		row->add_null();
}

/* For a room that has no server, or has lost it. */
void
foresee_placement(const PlacementRequest &request, const Assignments &assignments, Outlook *outlook)
{
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());

	outlook->servers = count_servers(request, outlook->input, assignments, snapshot);
	UnregisterSnapshot(snapshot);
	if (!outlook->is_known())
		return;

	Decision decision = decide(outlook->servers, outlook->input.pool->servers.count,
							   outlook->input.expected(), outlook->input.rules);

	if (!request.leaving.empty() && !is_acceptable(decision))
		return;
	outlook->chosen = decision.server;
	if (decision.server < 0)
		return;
	outlook->reason =
		request.leaving.empty()
			? reason_of(decision, outlook->servers[decision.server], request, outlook->input.rules)
			: reason_of_move("failover", request.leaving);
}

Outlook
foresee(const PlacementRequest &request, const Assignments &assignments)
{
	Outlook outlook;
	std::optional<Found> current = assignments.find(*request.room);
	std::optional<Assignment> row = current ? assignments.read(&current->tid) : std::nullopt;
	auto where_in = [&row, &request](const Pool &pool) {
		return row ? pool.locate(row->server, row->assigned_at, request.now) : RoomLocation();
	};
	bool stranded = where_in(pool(request.deadline)).stranded;

	outlook.input.pool = &pool(request.deadline);
	outlook.input.rules = current_rules();
	if (stranded)
	{
		PlacementRequest move = request;

		move.region = row->region;
		move.leaving = row->server;
		outlook.load_failure = try_reading([&outlook, &request] {
			outlook.input = gather_input_for_move(request.now, request.deadline);
		});
		outlook.size_failure = outlook.load_failure;
		if (outlook.is_known())
			expect_current_users(&outlook.input, *row, request.now);
		foresee_placement(move, assignments, &outlook);
	}
	else
	{
		outlook.size_failure =
			try_reading([&outlook, &request] { outlook.input = gather_input(request); });
		outlook.load_failure =
			try_reading([&outlook, &request] { index_sessions(request, &outlook.input); });
		foresee_placement(request, assignments, &outlook);
	}

	/* By the copy of the pool that the outlook is made of, which may be newer. */
	RoomLocation where = where_in(*outlook.input.pool);

	if (row && !(stranded && (outlook.chosen >= 0 || !outlook.is_known())))
	{
		outlook.chosen = where.server;
		outlook.reason = where.moved ? reason_of_move("failover", row->server)
						 : where.stranded
							 ? "the room is assigned here, and no other server is online"
							 : "the room is assigned here";
	}
	return outlook;
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
	Outlook outlook = foresee(request, assignments);
	const Pool &pool = *outlook.input.pool;
	const Server *servers = outlook.servers;
	int count = pool.servers.count;
	PoolFacts pool_facts =
		gather_pool_facts(servers, count, outlook.input.expected(), outlook.input.rules);
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
		if (!outlook.is_known())
			return servers[a].position != servers[b].position
					   ? servers[a].position < servers[b].position
					   : servers[a].name < servers[b].name;
		return precedes(servers[a], verdicts[a], servers[b], verdicts[b], outlook.input.rules);
	});

	const char *problem = outlook.size_failure	 ? in_words(*outlook.size_failure)
						  : outlook.load_failure ? in_words(*outlook.load_failure)
												 : nullptr;
	Row row(fcinfo);

	for (int rank = 0; rank < count; rank++)
	{
		int i = order[rank];

		row.add_if(outlook.is_known(), rank + 1);
		row.add(servers[i].name);
		row.add(outlook.chosen == i);
		row.add_if(outlook.is_known(), tier(verdicts[i].standing));
		row.add(outlook.chosen == i ? outlook.reason
				: problem != nullptr
					? problem
					: standing_in_words(servers[i], pool.servers[i], verdicts[i], pool_facts));
		add_numbers(&row, servers[i], pool.servers[i], outlook);
		row.put();
	}
}

} // namespace gxy

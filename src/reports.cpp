/*
 * reports.cpp: reads everything as the placement does, and changes nothing.
 */
#include "reports.hpp"

#include "move.hpp"
#include "recount.hpp"
#include "shmem.hpp"

namespace gxy
{
namespace
{

/* One row of a result, filled column by column. */
class Row
{
public:
	explicit Row(FunctionCallInfo fcinfo)
		: result(reinterpret_cast<ReturnSetInfo *>(fcinfo->resultinfo))
	{
	}

	void add(Datum value)
	{
		values[count] = value;
		nulls[count++] = false;
	}
	void add_null() { nulls[count++] = true; }
	void add(std::int64_t value) { add(Int64GetDatum(value)); }
	void add(int value) { add(Int32GetDatum(value)); }
	void add(bool value) { add(BoolGetDatum(value)); }
	void add(std::string_view value) { add(PointerGetDatum(text_of(value))); }
	void add(const char *value) { add(std::string_view(value)); }
	void add_optional(std::string_view value)
	{
		if (value.empty())
			add_null();
		else
			add(value);
	}

	void put()
	{
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
		count = 0;
	}

private:
	ReturnSetInfo *result;
	int count = 0;
	Datum values[24];
	bool nulls[24];
};
static_assert(std::is_trivially_destructible_v<Row>);

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
				  const Circumstances &circumstances)
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
			return psprintf("has room: %lld + %lld of %lld", static_cast<long long>(server.load),
							static_cast<long long>(circumstances.addition),
							static_cast<long long>(server.capacity));
		case Standing::over_capacity:
			return psprintf("at capacity: %lld + %lld > %lld", static_cast<long long>(server.load),
							static_cast<long long>(circumstances.addition),
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
expected_from_in_words(const Prospect &prospect)
{
	switch (prospect.expected_from)
	{
		case ExpectedFrom::caller:
			return "caller";
		case ExpectedFrom::pin:
			return "pin";
		case ExpectedFrom::rooms:
			return "rooms";
		case ExpectedFrom::learned:
			return psprintf("learned from %d occasion%s", prospect.occasions,
							prospect.occasions == 1 ? "" : "s");
		case ExpectedFrom::use:
			return "in the room";
		case ExpectedFrom::average:
			break;
	}
	return "average";
}

/* The columns of an explanation that do not depend on the choice. */
void
add_numbers(Row *row, const Server &server, const PoolServer &known, const Prospect &prospect)
{
	row->add(server.load);
	row->add(static_cast<int>(server.capacity));
	row->add(static_cast<int>(prospect.expected()));
	row->add(expected_from_in_words(prospect));
	row->add(score_of(server));
	row->add(server.rooms);
	row->add(server.room_sessions);
	row->add(static_cast<int>(server.priority));
	row->add(name_of(server.state));
	row->add(name_of(server.pool));
	if (known.regions.count > 0)
		row->add(array_of(known.regions));
	else
		row->add_null();
}

/* What get_or_assign() would do with a room. */
struct Outlook
{
	Prospect prospect;
	Server *servers = nullptr;
	int chosen = -1; /* index into the servers, -1: none of them */
	const char *reason = nullptr;
};

/* For a room that has no server, or has lost it. */
void
foresee_placement(const PlacementRequest &request, const Assignments &assignments, Outlook *outlook)
{
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());

	outlook->servers = count_servers(request, outlook->prospect, assignments, snapshot);
	UnregisterSnapshot(snapshot);

	Decision decision = decide(outlook->servers, outlook->prospect.pool->servers.count,
							   outlook->prospect.expected(), outlook->prospect.rules);

	if (!request.leaving.empty() && !is_refuge(decision))
		return;
	outlook->chosen = decision.server;
	if (decision.server < 0)
		return;
	outlook->reason = request.leaving.empty()
						  ? reason_of(decision, outlook->servers[decision.server], request,
									  outlook->prospect.rules)
						  : reason_of_move("failover", request.leaving);
}

Outlook
foresee(const PlacementRequest &request, const Assignments &assignments)
{
	Outlook outlook;
	std::optional<Found> current = assignments.find(*request.room);
	std::optional<Assignment> row = current ? assignments.read(&current->tid) : std::nullopt;
	Whereabouts where;

	if (row)
		where = pool(request.deadline).whereabouts(row->server, row->assigned_at, request.now);
	if (where.stranded)
	{
		PlacementRequest move = request;

		move.region = row->region;
		move.leaving = row->server;
		outlook.prospect = look_ahead_for_move(request.now, request.deadline);
		expect_what_it_holds(&outlook.prospect, *row, request.now);
		foresee_placement(move, assignments, &outlook);
	}
	else
	{
		outlook.prospect = look_ahead(request);
		take_census(request, &outlook.prospect);
		foresee_placement(request, assignments, &outlook);
	}
	if (row && !(where.stranded && outlook.chosen >= 0))
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
								.deadline = Deadline::of_call(now)};

	InitMaterializedSRF(fcinfo, 0);

	Assignments assignments = open_assignments(AccessShareLock, request.deadline);
	Outlook outlook = foresee(request, assignments);
	const Pool &pool = *outlook.prospect.pool;
	const Server *servers = outlook.servers;
	int count = pool.servers.count;
	Circumstances circumstances =
		survey(servers, count, outlook.prospect.expected(), outlook.prospect.rules);
	Verdict *verdicts =
		static_cast<Verdict *>(palloc(sizeof(Verdict) * static_cast<Size>(count + 1)));
	int *order = static_cast<int *>(palloc(sizeof(int) * static_cast<Size>(count + 1)));

	assignments.close();
	for (int i = 0; i < count; i++)
	{
		verdicts[i] = judge(servers[i], circumstances);
		order[i] = i;
	}
	std::sort(order, order + count, [&](int a, int b) {
		return precedes(servers[a], verdicts[a], servers[b], verdicts[b], outlook.prospect.rules);
	});

	Row row(fcinfo);

	for (int rank = 0; rank < count; rank++)
	{
		int i = order[rank];

		row.add(rank + 1);
		row.add(servers[i].name);
		row.add(outlook.chosen == i);
		row.add(tier(verdicts[i].standing));
		row.add(outlook.chosen == i
					? outlook.reason
					: standing_in_words(servers[i], pool.servers[i], verdicts[i], circumstances));
		add_numbers(&row, servers[i], pool.servers[i], outlook.prospect);
		row.put();
	}
}

namespace
{

/* What failovers have to do with a server. */
const char *
failover_note(const Pool &pool, int index, TimestampTz now)
{
	const Failover &own = pool.servers[index].failover;
	StringInfoData note;

	initStringInfo(&note);
	if (own.active && own.pending)
	{
		appendStringInfoString(&note, now < own.due_at ? "rooms will move" : "rooms are moving");
		if (!own.target.empty())
			appendStringInfo(&note, " to %s", copy_of(own.target).data());
	}
	for (const PoolServer &server : pool.servers)
		if (server.failover.active && server.failover.standby == index)
			appendStringInfo(&note, "%s%s for %s", note.len > 0 ? "; " : "",
							 now < server.failover.due_at ? "will stand in" : "stands in",
							 copy_of(server.name).data());
	return note.data;
}

} // namespace

/* What every server carries. */
static Tally
count_now(const Pool &pool, const Rules &rules, TimestampTz now, Deadline deadline)
{
	Census census = Census::take(pool.sessions, now, deadline);
	Assignments assignments = open_assignments(AccessShareLock, deadline);
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	Tally tally = Tally::count(assignments, pool, census, rules, snapshot, now);

	UnregisterSnapshot(snapshot);
	assignments.close();
	return tally;
}

void
report_server_loads(FunctionCallInfo fcinfo)
{
	TimestampTz now = GetCurrentTimestamp();
	Deadline deadline = Deadline::of_call(now);
	const Pool &current = pool(deadline);
	Rules rules = current_rules();

	InitMaterializedSRF(fcinfo, 0);

	Tally tally = count_now(current, rules, now, deadline);
	int count = current.servers.count;
	int *order = static_cast<int *>(palloc(sizeof(int) * static_cast<Size>(count + 1)));

	for (int i = 0; i < count; i++)
		order[i] = i;
	std::sort(order, order + count, [&current](int a, int b) {
		const PoolServer &left = current.servers[a];
		const PoolServer &right = current.servers[b];

		return left.position != right.position ? left.position < right.position
											   : left.name < right.name;
	});

	Row row(fcinfo);

	for (int rank = 0; rank < count; rank++)
	{
		const PoolServer &server = current.servers[order[rank]];
		const ServerLoad &load = tally[order[rank]];

		row.add(server.name);
		row.add(name_of(server.state));
		row.add(load.rooms);
		row.add(load.users);
		row.add(load.connected);
		row.add(load.expected);
		row.add(load.load(rules));
		row.add(server.capacity_in_force());
		row.add_optional(failover_note(current, order[rank], now));
		row.put();
	}
}

void
report_board(FunctionCallInfo fcinfo)
{
	TimestampTz now = GetCurrentTimestamp();
	Deadline deadline = Deadline::of_call(now);
	const Pool &current = pool(deadline);
	Rules rules = current_rules();
	Board *board = board_here();
	const int *places = board != nullptr ? places_of(board, current) : nullptr;

	InitMaterializedSRF(fcinfo, 0);
	if (places == nullptr)
		return;

	Tally tally = count_now(current, rules, now, deadline);
	int count = current.servers.count;
	Burden *burdens = static_cast<Burden *>(palloc(sizeof(Burden) * static_cast<Size>(count + 1)));
	TimestampTz counted_at;
	bool usable = read_board(board, basis_of(current, rules), places, burdens, count, &counted_at);
	Row row(fcinfo);

	hand_over_claimed(burdens, claims_in_force(current, now), count);
	for (int i = 0; i < count; i++)
	{
		row.add(current.servers[i].name);
		row.add(usable);
		row.add(burdens[i].rooms);
		row.add(tally[i].rooms);
		row.add(burdens[i].load);
		row.add(tally[i].users + tally[i].expected);
		if (counted_at != 0)
			row.add(TimestampTzGetDatum(counted_at));
		else
			row.add_null();
		row.put();
	}
}

void
report_room_loads(FunctionCallInfo fcinfo)
{
	TimestampTz now = GetCurrentTimestamp();
	Deadline deadline = Deadline::of_call(now);
	const Pool &current = pool(deadline);
	Rules rules = current_rules();
	Array<Assignment> rooms;

	InitMaterializedSRF(fcinfo, 0);

	Census census = Census::take(current.sessions, now, deadline);
	Assignments assignments = open_assignments(AccessShareLock, deadline);
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());

	assignments.for_each_row(
		snapshot, [&rooms](const Assignment &row, ItemPointer) { rooms.push(copy_of(row)); });
	UnregisterSnapshot(snapshot);
	assignments.close();

	Row row(fcinfo);

	for (const Assignment &room : rooms)
	{
		RoomUse use = room_use(room, current, census, rules, now);
		const Pin *pin = current.pin_of(room.room);

		Whereabouts where = current.whereabouts(room.server, room.assigned_at, now);
		std::string_view server = where.moved ? current.servers[where.server].name : room.server;

		row.add(room.room);
		row.add(server);
		if (use.active_known)
			row.add(use.active);
		else
			row.add_null();
		row.add(census.users_elsewhere(room.room, server));
		row.add(static_cast<int>(use.expected));
		row.add_optional(pin != nullptr ? pin->server : std::string_view());
		row.add_optional(room.reason);
		row.add(TimestampTzGetDatum(room.assigned_at));
		row.add(TimestampTzGetDatum(room.last_used_at));
		row.put();
	}
}

static const char *
worker_in_words(const std::optional<DatabaseStatus> &status)
{
	if (!is_preloaded())
		return "not preloaded";
	if (status && (status->state == WorkerState::running || status->state == WorkerState::starting))
		return "running";
	if (!has_launcher())
		return RecoveryInProgress() ? "standby" : "no launcher";
	if (status && status->state == WorkerState::failed)
		return psprintf("backing off: %s", status->error);
	return "idle";
}

void
report_stats(FunctionCallInfo fcinfo)
{
	std::optional<Counts> counts = read_counts();
	std::optional<DatabaseStatus> status = status_of(MyDatabaseId);
	bool has_run = status && status->last_start != 0;

	InitMaterializedSRF(fcinfo, 0);

	Row row(fcinfo);
	auto add_time = [&row](bool known, TimestampTz time) {
		if (known)
			row.add(TimestampTzGetDatum(time));
		else
			row.add_null();
	};

	for (int i = 0; i < counters; i++)
		if (counts)
			row.add(counts->value[i]);
		else
			row.add_null();
	add_time(counts.has_value(), counts ? counts->since : 0);
	row.add(worker_in_words(status));
	add_time(has_run, has_run ? status->last_start : 0);
	if (has_run)
	{
		Interval *duration = static_cast<Interval *>(palloc0(sizeof(Interval)));

		duration->time = status->duration;
		row.add(PointerGetDatum(duration));
		row.add(status->freed);
		row.add_optional(status->error);
	}
	else
		for (int i = 0; i < 3; i++)
			row.add_null();
	add_time(status && status->next_due != 0, status ? status->next_due : 0);
	row.put();
}

std::int64_t
rooms_on(std::string_view server)
{
	Deadline deadline = Deadline::of_call_starting_now();
	Assignments assignments = open_assignments(AccessShareLock, deadline);
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	std::int64_t rooms = 0;

	assignments.for_each_room(snapshot, [&rooms, server](const Assignment &row) {
		rooms += row.server == server ? 1 : 0;
	});
	UnregisterSnapshot(snapshot);
	assignments.close();
	return rooms;
}

} // namespace gxy

/*
 * load_cache_refresh.cpp: the count that the board rests on.
 *
 * Whoever places a room and finds the count too old makes it, while all others go on with the old one. It is made in
 * the caller's transaction, whose lock on the table keeps a TRUNCATE away until its end.
 */
#include "placement/load_cache_refresh.hpp"

#include "tables/catalog.hpp"
#include "pg/debug_delay.hpp"

namespace gxy
{
namespace
{

/* Milliseconds. There is always the exact way, so it need not be the deadline. */
constexpr int longest_wait = 1000;
/* A transaction that has committed needs no longer to run its callbacks. */
constexpr int install_attempts = 1000;

CountResult
count_all(const BoardCount &count, const PlacementRequest &request, const PlacementInput &input,
		  const Assignments &assignments, Board *board, const int *places)
{
	const Pool &pool = *input.pool;
	auto count_users = [&](SessionColumns wanted) {
		return ServerLoads::count_for_board(
			assignments, pool,
			SessionIndex::build(pool.sessions, wanted, request.now, request.deadline), input.rules,
			count.snapshot, request.now);
	};
	ServerLoads loads = count_users(SessionColumns::rooms_and_users);
	CountResult result;

	if (loads.lacks_servers())
		loads = count_users(SessionColumns::with_servers);
	for (int i = 0; i < pool.servers.count; i++)
		result.servers.push(CountedServer{
			.place = places[i],
			.burden = {.load = loads[i].users + loads[i].expected, .rooms = loads[i].rooms}});
	result.suspects = loads.unassigned();
	result.has_sessions = pool.sessions.exists();
	if (!count.wants_prepared)
		return result;
	/* Under a page lock, and the board's lock comes before it elsewhere: places are looked up afterwards. */
	Array<PreparedRow> rows;
	Array<std::string_view> servers;

	assignments.for_each_prepared_row(
		count.snapshot, [&](const Assignment &row, TransactionId transaction) {
			rows.push(PreparedRow{.transaction = transaction,
								  .place = -1,
								  .burden = burden_of(row, input.rules, request.now)});
			servers.push(copy_of(row.server));
		});
	for (int i = 0; i < rows.count; i++)
	{
		rows[i].place = place_on_board(board, name_hash(servers[i]));
		if (rows[i].place >= 0)
			result.prepared.push(rows[i]);
		else
			result.is_incomplete = true;
	}
	return result;
}

/* In memory of its own: a count may take more than a statement should hold on to. */
void
count_anew(const BoardCount &count, Basis basis, const PlacementRequest &request,
		   const PlacementInput &input, const Assignments &assignments, Board *board,
		   const int *places)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "gxy_balancer count", ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	CountResult result = count_all(count, request, input, assignments, board, places);
	int attempt = 0;

	debug_pause();
	while (!finish_count(board, basis, result))
	{
		CHECK_FOR_INTERRUPTS();
		if (++attempt == install_attempts)
		{
			give_up_count(board);
			break;
		}
		pg_usleep(1000);
	}
	UnregisterSnapshot(count.snapshot);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
}

} // namespace

Basis
basis_of(const Pool &pool, const Rules &rules)
{
	auto name = [](const char *value) { return std::string_view(value != nullptr ? value : ""); };

	const std::uint64_t parts[] = {
		pool.servers_hash,
		relations().assignments,
		static_cast<std::uint64_t>(rules.avg_room_occupancy),
		static_cast<std::uint64_t>(rules.join_window),
		static_cast<std::uint64_t>(rules.strategy),
		static_cast<std::uint64_t>(setting::assignment_grace),
		static_cast<std::uint64_t>(setting::dead_session_timeout),
		name_hash(name(pool.sessions.schema)),
		name_hash(name(pool.sessions.relation)),
	};

	return name_hash({reinterpret_cast<const char *>(parts), sizeof(parts)});
}

int *
places_of(Board *board, const Pool &pool)
{
	/* Of the last copy of the pool: places are for good. */
	static Array<int> known;
	static std::uint64_t known_copy = 0;

	if (known_copy != pool.number)
	{
		MemoryContext caller = MemoryContextSwitchTo(TopMemoryContext);

		known_copy = 0;
		known.count = 0;
		for (const PoolServer &server : pool.servers)
			known.push(place_on_board(board, server.hash));
		MemoryContextSwitchTo(caller);
		/* For want of memory; there may be some the next time. */
		if (std::find(known.begin(), known.end(), -1) != known.end())
			return nullptr;
		known_copy = pool.number;
	}

	/* A copy, because a later call may change the list while the caller still uses it. */
	int *copy = static_cast<int *>(palloc(sizeof(int) * static_cast<Size>(known.count) + 1));

	std::copy_n(known.items, known.count, copy);
	return copy;
}

const int *
claims_in_force(const Pool &pool, TimestampTz now)
{
	if (!pool.has_failovers)
		return nullptr;

	int *claimed_by =
		static_cast<int *>(palloc(sizeof(int) * static_cast<Size>(pool.servers.count)));

	for (int i = 0; i < pool.servers.count; i++)
		claimed_by[i] = pool.locate(pool.servers[i].name, now, now).server;
	return claimed_by;
}

Board *
fresh_board(const PlacementRequest &request, const PlacementInput &input,
			const Assignments &assignments, Counted *reason)
{
	Board *board = setting::load_max_age > 0 ? board_here() : nullptr;

	check_layout();
	*reason = setting::load_max_age == 0 ? Counted::setting
			  : board != nullptr		 ? Counted::emptied
										 : Counted::no_memory;
	if (board == nullptr || has_truncated())
		return nullptr;
	*reason = Counted::no_memory;

	Basis basis = basis_of(*input.pool, input.rules);
	std::int64_t max_age = microseconds(setting::load_max_age);

	if (!count_is_due(board, basis, max_age))
		return board;

	int *places = places_of(board, *input.pool);

	if (places == nullptr)
		return nullptr;

	BoardCount count = start_count(board, basis, max_age);

	if (count.snapshot != nullptr)
		count_anew(count, basis, request, input, assignments, board, places);
	else
		wait_for_count(board, basis, longest_wait);
	return board;
}

} // namespace gxy

/*
 * pool.cpp: questions that a copy of the pool answers.
 */
#include "servers/pool.hpp"

#include "pg/settings.hpp"
#include "policy/time_arithmetic.hpp"
#include "tables/catalog.hpp"

namespace gxy
{

int
PoolServer::capacity_in_force() const
{
	return capacity > 0 ? capacity : setting::default_capacity;
}

std::int64_t
PoolServer::rank_in(const RegionList &wanted) const
{
	std::int64_t best = -1;

	for (std::string_view region : regions)
		if (std::int64_t rank = wanted.rank_of(region); rank >= 0 && (best < 0 || rank < best))
			best = rank;
	return best;
}

Server
plain_server(const PoolServer &server)
{
	return Server{.name = server.name,
				  .position = server.position,
				  .priority = server.priority,
				  .capacity = server.capacity,
				  .load = 0,
				  .rooms = 0,
				  .room_sessions = 0,
				  .pool = server.pool,
				  .state = server.state,
				  .region = RegionFit::general,
				  .region_rank = 0,
				  .pinned = false,
				  .home = false,
				  .absent = false,
				  .awaited = 0,
				  .measured = 0,
				  .recovery = Recovery::none,
				  .held_back = false};
}

std::span<const int>
Pool::in_order() const
{
	Array<int> order;

	for (int i = 0; i < servers.count; i++)
		order.push(i);
	std::sort(order.begin(), order.end(), [this](int a, int b) {
		const PoolServer &left = servers[a];
		const PoolServer &right = servers[b];

		return left.position != right.position ? left.position < right.position
											   : left.name < right.name;
	});
	return order.span();
}

Recovery
PoolServer::recovery(TimestampTz now) const
{
	return recovery_after(elapsed(recovered_at, now), microseconds(setting::recovery_delay));
}

TimestampTz
PoolServer::recovering_until() const
{
	return later(recovered_at, microseconds(setting::recovery_delay));
}

std::span<const std::string_view>
Pool::written_names() const
{
	Array<std::string_view> names;

	if (written)
		for (const PoolServer &server : servers)
			names.push(server.name);
	return names.span();
}

const Pin *
Pool::pin_of(std::string_view room) const
{
	const Pin *at =
		std::lower_bound(pins.begin(), pins.end(), room,
						 [](const Pin &pin, std::string_view key) { return pin.room < key; });

	return at != pins.end() && at->room == room ? at : nullptr;
}

std::span<const int>
Pool::claims_on(int standby) const
{
	auto standby_of = [this](int claimant) { return servers[claimant].failover.standby; };
	const int *first =
		std::lower_bound(claimants.begin(), claimants.end(), standby,
						 [&](int claimant, int key) { return standby_of(claimant) < key; });
	const int *last = first;

	while (last != claimants.end() && standby_of(*last) == standby)
		last++;
	return {first, last};
}

RoomLocation
Pool::locate(std::string_view server, TimestampTz assigned_at, TimestampTz now,
			 Viewpoint viewpoint) const
{
	RoomLocation where = {.server = find(server)};
	bool known = where.server >= 0;

	if (known && servers[where.server].state != ServerState::offline)
		return where;

	/*
	 * Not in the pool, or inserted as offline: as if its failover had been declared when the room
	 * was assigned.
	 */
	if (!known || !servers[where.server].failover.active)
	{
		std::int64_t age = elapsed(assigned_at, now);

		/* A time that is yet to come, which only the application can have written, says nothing. */
		where.stranded = age < 0 || age >= microseconds(setting::failover_delay) ||
						 (setting::failover_on_call && viewpoint == Viewpoint::caller);
		return where;
	}

	const Failover &failover = servers[where.server].failover;

	if (!failover.counts(now, viewpoint))
		return where;
	where.moved = failover.standby >= 0 && servers[failover.standby].state == ServerState::online;
	where.stranded = !where.moved;
	if (where.moved)
		where.server = failover.standby;
	return where;
}

const char *
name_of(ServerState state)
{
	switch (state)
	{
		case ServerState::online:
			return "online";
		case ServerState::draining:
			return "draining";
		case ServerState::offline:
			break;
	}
	return "offline";
}

ServerState
state_named(std::string_view name)
{
	return name == "online"		? ServerState::online
		   : name == "draining" ? ServerState::draining
								: ServerState::offline;
}

const char *
name_of(ServerPool pool)
{
	switch (pool)
	{
		case ServerPool::primary:
			return "primary";
		case ServerPool::standby:
			return "standby";
		case ServerPool::reserved:
			break;
	}
	return "reserved";
}

const char *
schema_of(const Attachment &attachment)
{
	const char *schema =
		attachment.schema != nullptr ? attachment.schema : get_namespace_name(relations().schema);

	return schema != nullptr ? schema : "";
}

const char *
name_of(const Attachment &attachment)
{
	return quote_qualified_identifier(schema_of(attachment), attachment.relation);
}

} // namespace gxy

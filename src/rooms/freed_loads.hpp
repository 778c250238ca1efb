/*
 * freed_loads.hpp: the load of the rooms that a cleanup frees, summed up by server.
 */
#pragma once

#include <cstdint>
#include <string_view>
#include <type_traits>

#include "pg/array.hpp"
#include "pg/interner.hpp"
#include "shared/load_cache.hpp"
#include "shared/load_delta.hpp"

namespace gxy
{

/* The load of freed rooms by server, for the load cache. */
class FreedLoads
{
public:
	FreedLoads() { servers.prepare(); }

	/* Returns the number of a server, which add() takes. */
	int number(std::string_view server)
	{
		bool fresh;
		int number = servers.number(server, &fresh);

		if (fresh)
			loads.push(LoadAtCommit{});
		return number;
	}

	void add(int server, const LoadAtCommit &load) { loads[server] += load; }

	/* Subtracts the loads from the load cache. */
	void report()
	{
		servers.for_each([this](std::string_view server, int number) {
			if (!loads[number].is_nothing())
				record_at_commit(server, loads[number]);
		});
	}

private:
	NameInterner servers;
	Array<LoadAtCommit> loads;
};
static_assert(std::is_trivially_destructible_v<FreedLoads>);

} // namespace gxy

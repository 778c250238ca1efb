#include "oracle.hpp"

#include <algorithm>
#include <functional>

namespace gxy
{

namespace
{

using Test = std::function<bool(const Server &)>;

Pool
those(const Pool &pool, const Test &test)
{
	Pool kept;

	std::copy_if(pool.begin(), pool.end(), std::back_inserter(kept), test);
	return kept;
}

/* The servers that pass the test, or all if none does. */
Pool
rather(const Pool &pool, const Test &test)
{
	const Pool kept = those(pool, test);
	return kept.empty() ? pool : kept;
}

/* The servers with the least value. */
template <typename Key>
Pool
least(const Pool &pool, Key key)
{
	return those(pool, [&](const Server &server) {
		return std::none_of(pool.begin(), pool.end(),
							[&](const Server &other) { return key(other) < key(server); });
	});
}

/* The larger of two shares: what is counted, and what is measured plus what is awaited. */
struct Share
{
	__int128 part, whole;

	explicit Share(const Server &server) : whole(__int128{1'000'000} * server.capacity)
	{
		const __int128 counted = __int128{1'000'000} * server.load;
		const __int128 measured =
			__int128{server.measured} * server.capacity + __int128{1'000'000} * server.awaited;

		part = server.measured > 0 && counted < measured ? measured : counted;
	}

	bool operator<(const Share &other) const
	{
		return part * (other.whole / 1'000'000) < other.part * (whole / 1'000'000);
	}
};

class Oracle
{
public:
	explicit Oracle(const Scene &scene) : rules_(scene.rules)
	{
		adds_ = rules_.metric == LoadMetric::users ? scene.expected : rules_.avg_room_occupancy;

		const Pool ours = those(scene.pool, is_ours);
		larger_than_all_ = !ours.empty();
		for (const Server &server : ours)
		{
			if (adds_ <= server.capacity)
				larger_than_all_ = false;
		}
	}

	/* The answer if the pool had only these servers. */
	std::string choose(const Pool &all) const
	{
		const Pool pool = those(all, exists_on);
		const Pool up =
			those(pool, [](const Server &s) { return s.state != ServerState::offline; });

		if (const Pool busy = those(up, [](const Server &s) { return s.room_sessions > 0; });
			!busy.empty())
			return first(least(busy, [](const Server &s) { return -s.room_sessions; }));
		if (const Pool pinned = those(up, [](const Server &s) { return s.pinned; });
			!pinned.empty())
			return first(pinned);
		if (const Pool home = those(up, [](const Server &s) { return s.home && is_ready(s); });
			rules_.strategy == Strategy::home && !home.empty())
			return first(home);

		const Pool open =
			those(pool, [](const Server &s) { return s.pool != ServerPool::reserved; });
		const Pool ours = those(open, is_ours);
		const Pool roomy = with_room(ours);

		if (const Pool own =
				those(roomy, [](const Server &s) { return s.region == RegionFit::own; });
			!own.empty())
			return by_strategy(by_turns(least(own, [](const Server &s) { return s.region_rank; })));
		if (!roomy.empty())
			return by_strategy(by_turns(roomy));
		if (!ours.empty())
			return rules_.overflow == Overflow::error ? "full" : least_loaded(by_turns(ours));

		for (const Test &group : {Test(is_ready), Test(is_online), Test(is_draining), Test(any)})
		{
			const Pool rest = those(open, group);
			if (!rest.empty())
				return last_resort(rest);
		}
		return "no server";
	}

private:
	static bool any(const Server &) { return true; }
	static bool is_online(const Server &server) { return server.state == ServerState::online; }
	static bool is_draining(const Server &server) { return server.state == ServerState::draining; }
	static bool is_ready(const Server &server)
	{
		return is_online(server) && server.recovery != Recovery::recovering;
	}
	static bool exists_on(const Server &server)
	{
		return !server.absent || server.room_sessions > 0;
	}

	static bool is_ours(const Server &server)
	{
		return is_ready(server) && server.pool == ServerPool::primary &&
			   server.region != RegionFit::foreign && exists_on(server);
	}

	/* Servers that are back from an outage leave the room to the others, if there are others. */
	static Pool by_turns(const Pool &pool)
	{
		return rather(pool, [](const Server &s) { return !s.held_back; });
	}

	Pool with_room(const Pool &pool) const
	{
		return those(pool, [this](const Server &s) {
			const Share used(s);
			const bool below = used.part + __int128{1'000'000} * adds_ <= used.whole;
			return below || (larger_than_all_ && s.load == 0 && s.measured < 1'000'000);
		});
	}

	static std::string first(Pool pool)
	{
		pool = least(pool, [](const Server &s) { return s.position; });
		pool = least(pool, [](const Server &s) { return s.name; });
		return std::string(pool.at(0).name);
	}

	static std::string least_loaded(Pool pool)
	{
		pool = least(pool, [](const Server &s) { return Share(s); });
		pool = least(pool, [](const Server &s) { return s.rooms; });
		return first(pool);
	}

	std::string by_strategy(Pool pool) const
	{
		pool = least(pool, [](const Server &s) { return -s.priority; });
		return rules_.strategy == Strategy::sequential ? first(pool) : least_loaded(pool);
	}

	std::string last_resort(Pool pool) const
	{
		pool = rather(pool, [](const Server &s) { return s.pool != ServerPool::standby; });
		pool = rather(pool, [](const Server &s) { return s.region != RegionFit::foreign; });

		const Pool roomy = with_room(pool);
		return roomy.empty() ? least_loaded(pool) : by_strategy(roomy);
	}

	Rules rules_;
	std::int64_t adds_ = 0;
	bool larger_than_all_ = false;
};

} // namespace

std::string
oracle_choice(const Scene &scene)
{
	return Oracle(scene).choose(scene.pool);
}

std::vector<std::string>
oracle_ranking(const Scene &scene)
{
	Scene willing = scene;
	willing.rules.overflow =
		Overflow::overcommit; /* a full server has a position in the order, too */
	const Oracle oracle(willing);
	std::vector<std::string> names;

	for (Pool left = scene.pool;;)
	{
		const std::string name = oracle.choose(left);
		if (name == "no server")
			return names;
		names.push_back(name);
		left = those(left, [&](const Server &server) { return server.name != name; });
	}
}

} // namespace gxy

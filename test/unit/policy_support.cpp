#include "policy_support.hpp"

#include <algorithm>
#include <array>

namespace gxy
{

namespace
{

template <typename Enum, std::size_t n>
const char *
name_of(Enum value, const std::array<const char *, n> &names)
{
	const auto index = static_cast<std::size_t>(value);
	return index < n ? names[index] : "?";
}

constexpr std::array<const char *, 12> standing_names = {
	"in_progress", "pinned",	 "home",	 "own_region", "general", "over_capacity",
	"elsewhere",   "recovering", "draining", "offline",	   "absent",  "excluded"};
constexpr std::array<const char *, 3> strategy_names = {"least_loaded", "sequential", "home"};
constexpr std::array<const char *, 3> outcome_names = {"placed", "full", "no_server"};
constexpr std::array<const char *, 3> state_names = {"online", "draining", "offline"};
constexpr std::array<const char *, 3> pool_names = {"primary", "standby", "reserved"};
constexpr std::array<const char *, 3> recovery_names = {"none", "recovering", "returning"};
constexpr std::array<const char *, 3> region_names = {"own", "general", "foreign"};

} // namespace

std::ostream &
operator<<(std::ostream &out, Standing standing)
{
	return out << name_of(standing, standing_names);
}

std::ostream &
operator<<(std::ostream &out, Outcome outcome)
{
	return out << name_of(outcome, outcome_names);
}

std::ostream &
operator<<(std::ostream &out, const Server &server)
{
	out << server.name << ": " << name_of(server.state, state_names) << ' '
		<< name_of(server.pool, pool_names) << ' ' << name_of(server.region, region_names)
		<< ", load " << server.load << '/' << server.capacity << ", rooms " << server.rooms
		<< ", priority " << server.priority << ", position " << server.position;
	if (server.room_sessions > 0)
		out << ", sessions " << server.room_sessions;
	if (server.region_rank > 0)
		out << ", region rank " << server.region_rank;
	if (server.pinned)
		out << ", pinned";
	if (server.measured > 0)
		out << ", measured " << server.measured << " millionths, awaited " << server.awaited;
	if (server.recovery != Recovery::none)
		out << ", " << name_of(server.recovery, recovery_names);
	if (server.held_back)
		out << ", held back";
	if (server.home)
		out << ", home";
	if (server.absent)
		out << ", absent";
	return out;
}

std::ostream &
operator<<(std::ostream &out, const Rules &rules)
{
	return out << name_of(rules.strategy, strategy_names) << ", "
			   << (rules.metric == LoadMetric::rooms ? "rooms" : "users") << ", "
			   << (rules.overflow == Overflow::error ? "error" : "overcommit") << ", "
			   << rules.avg_room_occupancy << " a room";
}

std::ostream &
operator<<(std::ostream &out, const Scene &scene)
{
	out << "expected " << scene.expected << " by " << scene.rules << '\n';
	for (const Server &server : scene.pool)
		out << "  " << server << '\n';
	return out;
}

std::string
choice(const Scene &scene)
{
	const int count = static_cast<int>(scene.pool.size());
	const Decision decision = decide(scene.pool.data(), count, scene.expected, scene.rules);

	switch (decision.outcome)
	{
		case Outcome::full:
			return "full";
		case Outcome::no_server:
			return "no server";
		case Outcome::placed:
			break;
	}
	if (decision.server < 0 || decision.server >= count)
		return "an index outside the pool";
	return std::string(scene.pool[decision.server].name);
}

std::vector<std::string>
ranking(const Scene &scene)
{
	const PoolFacts pool_facts = gather_pool_facts(
		scene.pool.data(), static_cast<int>(scene.pool.size()), scene.expected, scene.rules);
	Pool sorted = scene.pool;
	std::vector<std::string> names;

	std::sort(sorted.begin(), sorted.end(), [&](const Server &a, const Server &b) {
		return precedes(a, judge(a, pool_facts), b, judge(b, pool_facts), scene.rules);
	});
	for (const Server &server : sorted)
		names.emplace_back(server.name);
	return names;
}

void
take_room(Server &server, const Scene &scene)
{
	server.rooms++;
	server.load +=
		scene.rules.metric == LoadMetric::rooms ? scene.rules.avg_room_occupancy : scene.expected;
}

} // namespace gxy

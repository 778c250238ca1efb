/*
 * peers.cpp: see peers.hpp. Sources:
 *
 *     Scalelite   github.com/blindsidenetworks/scalelite, README.md
 *     BBBLB       github.com/defnull/bbblb, docs/config.rst and what it documents: LOAD_* in
 *                 bbblb/settings.py, used in bbblb/services/poller.py
 *     B3LB        github.com/DE-IBH/b3lb, load_* in rest/models.py, rest/fixtures/periodictasks.json
 *     Jicofo      github.com/jitsi/jicofo, jicofo-selector/src/main/resources/reference.conf;
 *                 github.com/jitsi/jitsi-videobridge, doc/statistics.md
 *
 * Where a formula needs what a trace does not have, an assumption is made that suits the peer:
 * every user has a microphone on and every tenth a camera (BBBLB assumes this of users to come),
 * and CPU in use is users / capacity (B3LB, Jicofo).
 */
#include "peers.hpp"

#include <algorithm>
#include <cmath>

namespace sim
{

namespace
{

/* BBBLB's settings and their defaults: LOAD_BASE and so on, in bbblb/settings.py. */
constexpr double base = 5;
constexpr double user = 1;
constexpr double voice = 0.5;
constexpr double video = 0.5;
constexpr double reserved = 20;
constexpr Time cooldown = 30 * minute;

constexpr double seat = user + voice + 0.1 * video;

} // namespace

/* Scalelite's README: at least 15 users for 15 minutes. */
double
scalelite_load(std::int64_t users, Time age)
{
	return static_cast<double>(age < 15 * minute ? std::max<std::int64_t>(users, 15) : users);
}

/* A meeting's reserved seats fade linearly with its age. */
double
bbblb_load(std::int64_t users, Time age)
{
	const double left = 1 - static_cast<double>(age) / static_cast<double>(cooldown);

	return base + static_cast<double>(users) * seat + std::max(0.0, left) * reserved * seat;
}

/*
 * B3LB's model of a cluster and a node (rest/models.py): 1 an attendee, 30 a meeting, and the CPU's
 * share of load_cpu_max = 5000, as the sum of its 1st to 5th power over load_cpu_iterations = 6. A
 * whole number.
 */
double
b3lb_load(std::int64_t users, std::int64_t rooms, std::int64_t capacity)
{
	const double cpu = std::min(1.0, static_cast<double>(users) / static_cast<double>(capacity));
	double powers = 0;

	for (int i = 1; i < 6; i++)
		powers += std::pow(cpu, i);
	return std::floor(static_cast<double>(users + 30 * rooms) + powers * 5000 / 6);
}

/*
 * Jicofo's reference.conf: the reported stress plus average-participant-stress for each participant
 * of the last participant-rampup-interval (20 seconds). A bridge reports both: 1 is a full bridge.
 */
double
jicofo_stress(std::int64_t users, std::int64_t added, std::int64_t capacity)
{
	return static_cast<double>(users + added) / static_cast<double>(capacity);
}

/*
 * Defaults: Scalelite's poller 60 s, POLL_INTERVAL of BBBLB 30 s, B3LB's periodic tasks 15 s, the
 * bridge's statistics 5 s.
 */
Time
poll_interval(Method method)
{
	switch (method)
	{
		case Method::scalelite:
			return 60 * second;
		case Method::bbblb:
			return 30 * second;
		case Method::b3lb:
			return 15 * second;
		case Method::jicofo:
			return 5 * second;
		default:
			return 0;
	}
}

/* BBBLB assumes two users with microphones and cameras; B3LB one attendee and one meeting. */
double
load_of_creation(Method method)
{
	switch (method)
	{
		case Method::scalelite:
			return 1;
		case Method::bbblb:
			return base + 2 * (user + voice + video) + reserved * seat;
		case Method::b3lb:
			return 31;
		default:
			return 0;
	}
}

double
load_of_joining(Method method)
{
	return method == Method::bbblb ? user : 0;
}

} // namespace sim

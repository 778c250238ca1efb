/*
 * replay.cpp: replays a trace, faster than real time, through SQL against a real server, and then
 * in the simulator.
 *
 *     replay SCALE SEED learned|constant|rooms      with the PG* environment of a database that
 *     is prepared
 *
 * The server's settings must be those of the simulator with every time divided by the scale;
 * test/sim/replay does that. One client does all that users do, in order. It reports the users of
 * each server by balancer_load. The result agrees with the simulator if it lies among those that
 * the simulator itself gives for this trace, also with users up to five seconds later.
 */
#include "figures.hpp"
#include "scenarios.hpp"

#include <libpq-fe.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <thread>

namespace
{

using namespace sim;
using Clock = std::chrono::steady_clock;

class Database
{
public:
	Database() : connection(PQconnectdb(""))
	{
		if (PQstatus(connection) != CONNECTION_OK)
			fail();
		(void) PQexec(connection, "SET synchronous_commit = off");
	}
	~Database() { PQfinish(connection); }
	Database(const Database &) = delete;
	Database &operator=(const Database &) = delete;

	/* The first column of the rows, as numbers where possible. */
	std::vector<std::int64_t> run(const std::string &sql)
	{
		std::vector<std::int64_t> values;
		PGresult *result = PQexec(connection, sql.c_str());
		const ExecStatusType status = PQresultStatus(result);

		if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK)
			fail();
		for (int i = 0; i < PQntuples(result); i++)
			values.push_back(std::atoll(PQgetvalue(result, i, 0)));
		PQclear(result);
		return values;
	}

private:
	[[noreturn]] void fail()
	{
		std::fprintf(stderr, "replay: %s", PQerrorMessage(connection));
		std::exit(2);
	}

	PGconn *connection;
};

class Replay
{
public:
	Replay(const Trace &trace, double scale) : trace(trace), scale(scale) {}

	Playback run()
	{
		start = Clock::now();
		for (const Event &event : trace.events)
		{
			for (; sample_due <= event.at; sample_due += trace.sample_interval)
				sample();
			wait_for(event.at);
			take(event);
		}
		flush();
		return std::move(result);
	}

	/* The greatest delay, in the trace's time. */
	Time lag() const { return worst_lag; }

private:
	void take(const Event &event)
	{
		const std::string room = "'" + trace.rooms[static_cast<std::size_t>(event.room)].name + "'";
		const std::string user = std::to_string(event.user);

		switch (event.kind)
		{
			case Kind::ask:
				flush();
				(void) database.run("SELECT get_or_assign_server(" + room + ")");
				break;
			case Kind::join:
				pending += "INSERT INTO live VALUES (" + room + "," + user + ");";
				break;
			case Kind::leave:
				pending +=
					"DELETE FROM live WHERE user_id = " + user + " AND room_id = " + room + ";";
				break;
			case Kind::server_down:
			case Kind::server_up:
				break; /* the trace has none */
		}
	}

	void flush()
	{
		if (!pending.empty())
			(void) database.run(pending);
		pending.clear();
	}

	void wait_for(Time at)
	{
		const auto due =
			start + std::chrono::microseconds(std::llround(static_cast<double>(at) / scale));
		const auto late = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - due);

		if (late.count() > 0)
			worst_lag =
				std::max(worst_lag, static_cast<Time>(static_cast<double>(late.count()) * scale));
		else
		{
			flush();
			std::this_thread::sleep_until(due);
		}
	}

	void sample()
	{
		Sample taken{.at = sample_due, .ratio = 0};
		std::int64_t busiest = 0;

		wait_for(sample_due);
		flush();
		if (sample_due < trace.measure_from)
			return;
		const auto users = database.run("SELECT users FROM balancer_load");
		for (std::int64_t one : users)
		{
			taken.users += one;
			busiest = std::max(busiest, one);
		}
		if (taken.users == 0)
			return;
		taken.ratio = static_cast<double>(busiest) * static_cast<double>(users.size()) /
					  static_cast<double>(taken.users);
		result.samples.push_back(taken);
	}

	const Trace &trace;
	const double scale;
	Database database;
	Clock::time_point start;
	Time sample_due = 0;
	Time worst_lag = 0;
	std::string pending;
	Playback result;
};

/* The same trace with every user up to so much later. */
Trace
jittered(Trace trace, Time most, std::uint64_t seed)
{
	for (Event &event : trace.events)
	{
		Dice dice(seed, static_cast<std::uint64_t>(event.user) * 16 +
							static_cast<std::uint64_t>(event.at / (55 * minute)));
		event.at += static_cast<Time>(static_cast<double>(most) * dice.unit());
	}
	arrange(&trace);
	return trace;
}

Contender
contender_of(const std::string &mode)
{
	Contender contender{.name = mode, .rules = default_rules()};

	if (mode != "learned")
		contender.expectation = Expectation::constant;
	if (mode == "rooms")
		contender.rules.metric = gxy::LoadMetric::rooms;
	return contender;
}

} // namespace

int
main(int argc, char **argv)
{
	if (argc != 4)
		return std::fputs("usage: replay SCALE SEED learned|constant|rooms\n", stderr), 2;

	constexpr int variants = 40;
	const auto seed = static_cast<std::uint64_t>(std::atoll(argv[2]));
	const Trace trace = replay_trace(seed);
	const Contender contender = contender_of(argv[3]);
	const double simulation = figures_of(World(trace, contender, nullptr, seed).run()).mean;
	std::vector<double> simulated = {simulation};

	for (std::uint64_t i = 0; i < variants; i++)
	{
		const Trace variant = jittered(trace, 5 * second, i);
		simulated.push_back(figures_of(World(variant, contender, nullptr, seed).run()).mean);
	}
	const auto [least, most] = std::minmax_element(simulated.begin(), simulated.end());
	Replay replay(trace, std::atof(argv[1]));
	const double mean = figures_of(replay.run()).mean;
	const bool good = mean >= *least && mean <= *most;

	std::printf("%s - %s, seed %s: busiest/mean %.3f through SQL, %.3f simulated (%.3f to %.3f); "
				"at most %.0f s late\n",
				good ? "ok" : "not ok", argv[3], argv[2], mean, simulation, *least, *most,
				static_cast<double>(replay.lag()) / second);
	return good ? 0 : 1;
}

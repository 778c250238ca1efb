/*
 * phases.cpp: new rooms only, three times; then the mix; then the count.
 *
 * The first phases need a table in which every room has the same weight, so they come first. Only
 * in the last of them do other clients work too: they keep renewing rooms. Each of these phases
 * takes a tenth of the time.
 */
#include "phases.hpp"

#include <functional>
#include <thread>

namespace stress
{
namespace
{

enum class Next : std::uint8_t
{
	more,
	done,
	until_others_are_done
};

using Work = std::function<Next(Client *client, int turn)>;

Level
level_of(int client)
{
	switch (client % 4)
	{
		case 2:
			return Level::repeatable_read;
		case 3:
			return Level::serializable;
		default:
			return Level::read_committed;
	}
}

class Course
{
public:
	Course(Run *run, Journal *journal)
		: run(run), journal(journal), keeper(run, journal, 0, Level::read_committed)
	{
	}

	bool go()
	{
		const Micros second = 1'000'000;
		const Micros tenth = run->seconds * second / 10;

		write_settings();
		phase("spread_alone", tenth, [](Client *client, int turn) {
			(void) client->assign(new_room(*client, turn), nullptr, 0);
			return turn + 1 < rooms_each ? Next::more : Next::done;
		});
		phase("spread_held", tenth,
			  [](Client *client, int turn) { return hold_new_room(client, rooms_each, turn); });
		phase("spread_renewed", tenth, [this](Client *client, int turn) {
			return client->number % 4 != 0 ? hold_new_room(client, 2 * rooms_each, turn)
										   : hold_renewed_rooms(client, turn);
		});
		(void) keeper.wipe();
		phase("mix", run->seconds * second - journal->now(), [this](Client *client, int turn) {
			take_turn(run, client, static_cast<std::uint64_t>(turn));
			return Next::more;
		});
		end_prepared(forever);
		end_forgotten();
		count();
		return !run->failed;
	}

	/* Servers fail one after the other, more at once than there are standbys, and recover. */
	bool go_failovers()
	{
		constexpr Micros second = 1'000'000;

		write_settings();
		phase("failovers", run->seconds * second, [](Client *client, int turn) {
			call_for_failover_room(client, turn);
			return Next::more;
		});
		/* The view counts rooms at the target of their failover, before their rows name it. */
		while (!run->failed && rooms_under_way())
			keeper.hold(nap);
		count();
		return !run->failed;
	}

private:
	static constexpr int rooms_each = 40;
	static constexpr Micros nap = 5000;

	/* A SERIALIZABLE client could get an error, and then its room would be missing. */
	static Next hold_new_room(Client *client, int first, int turn)
	{
		constexpr Micros held = 5000;

		if (!client->begin(turn % 2 == 0 ? Level::read_committed : Level::repeatable_read, true))
			return Next::done;
		(void) client->assign(new_room(*client, first + turn), nullptr, 0);
		client->hold(held);
		(void) client->commit();
		return turn + 1 < rooms_each ? Next::more : Next::done;
	}

	/*
	 * Rooms of one server each time: a count that took new row versions for rooms would avoid that
	 * server.
	 */
	Next hold_renewed_rooms(Client *client, int turn)
	{
		constexpr Micros held = 5000;
		const std::string &server =
			run->servers[static_cast<std::size_t>(client->number + turn) % run->servers.size()];
		const std::string touch = "SELECT count(touch_room(r.room_id)) FROM (SELECT a.room_id "
								  "FROM room_server_assignments a WHERE a.gateway_name = '" +
								  server + "' LIMIT 40) r";

		if (turn == 0)
			(void) client->query("SET gxy_balancer.touch_interval = 0");
		if (!client->begin(Level::read_committed, true))
			return Next::done;
		(void) client->query(touch.c_str());
		client->hold(held);
		(void) client->commit();
		return Next::until_others_are_done;
	}

	/*
	 * A transaction keeps its rows locked for a moment, so that the worker and other callers meet
	 * locked rows.
	 */
	static void call_for_failover_room(Client *client, int turn)
	{
		constexpr int rooms = 1000;
		constexpr Micros held = 2000;
		const int first = (client->number * 7919 + turn * 31) % rooms;

		if (turn % 50 != 0)
			return (void) client->assign(std::to_string(1 + first), nullptr, 0);
		if (!client->begin(Level::read_committed, true))
			return;
		(void) client->touch(std::to_string(1 + first));
		client->hold(held);
		(void) client->commit();
	}

	/* Some rooms of failed servers are not moved yet. */
	bool rooms_under_way()
	{
		constexpr const char *pending =
			"SELECT count(*) FROM balancer_failovers WHERE outcome = 'pending'";
		constexpr const char *left =
			"SELECT count(*) FROM room_server_assignments a JOIN balancer_servers s "
			"ON s.name = a.gateway_name WHERE s.state = 'offline'";

		return keeper.query(pending)[0][0] != "0" || keeper.query(left)[0][0] != "0";
	}

	/*
	 * The next step of the failovers: three servers at once, the next three when their rooms have
	 * been moved.
	 */
	void fail_and_recover()
	{
		constexpr int delay = 200;
		constexpr std::size_t at_once = 3;

		if (!failing.empty())
		{
			if (rooms_under_way())
				return;
			for (const std::string &server : failing)
				(void) keeper.edit_server(server, "online", 0);
			failing.clear();
			return;
		}
		for (std::size_t i = 0; i < at_once; i++)
			failing.push_back(run->servers[failures++ % run->servers.size()]);
		for (const std::string &server : failing)
			(void) keeper.fail_server(server, delay);
	}

	void write_settings()
	{
		/* The settings exist only once the library is loaded. */
		(void) keeper.query("SELECT count(*) FROM balancer_load");

		const auto names =
			keeper.query("SELECT string_agg(name, ' ' ORDER BY position) FROM balancer_servers");
		const auto values =
			keeper.query("SELECT replace(name, 'gxy_balancer.', ''), setting FROM pg_settings "
						 "WHERE name LIKE 'gxy\\_balancer.%' AND unit = 'ms'");

		for (const auto &row : values)
			set(row[0], row[1]);
		set("servers", names[0][0]);
		set("seed", std::to_string(run->seed));
		run->servers.clear();
		for (const auto &row : keeper.query("SELECT name FROM balancer_servers ORDER BY position"))
			run->servers.push_back(row[0]);
	}

	void set(const std::string &name, const std::string &value)
	{
		keeper.note({.operation = Operation::setting,
					 .arguments = "name=" + name + ",value=" + value,
					 .start = journal->now(),
					 .end = journal->now()});
	}

	void phase(const std::string &name, Micros length, const Work &work)
	{
		const Micros start = journal->now();
		std::atomic<bool> over = false;
		std::atomic<int> busy = run->clients;
		std::atomic<int> running = run->clients;
		std::vector<std::thread> threads;

		for (int number = 1; number <= run->clients; number++)
			threads.emplace_back([&, number] {
				Client client(run, journal, number, level_of(name == "mix" ? number : number % 3));

				Next next = Next::more;

				for (int turn = 0; !over && !run->failed && next != Next::done; turn++)
				{
					const Next before = next;

					next = work(&client, turn);
					if (before == Next::more && next != Next::more)
						busy--;
				}
				running--;
			});
		attend(name, start, start + length, &busy);
		over = true;
		/* Other clients may still wait for a prepared transaction. */
		for (; running > 0; keeper.hold(nap))
			end_prepared(forever);
		for (std::thread &thread : threads)
			thread.join();
		keeper.note({.operation = Operation::phase,
					 .arguments = "name=" + name,
					 .start = start,
					 .end = journal->now()});
	}

	/* Meanwhile: prints progress once a second, and ends the prepared transactions that are due. */
	void attend(const std::string &name, Micros start, Micros end, const std::atomic<int> *busy)
	{
		constexpr Micros second = 1'000'000;
		Micros next = start + second;

		while (journal->now() < end && *busy > 0 && !run->failed)
		{
			keeper.hold(nap);
			end_prepared(journal->now());
			if (name == "failovers")
				fail_and_recover();
			if (journal->now() < next)
				continue;
			next += second;
			std::printf("# %4lld s %-14s %9zu operations, errors:%s\n",
						static_cast<long long>(journal->now() / second), name.c_str(),
						journal->operations(), journal->errors_in_words().c_str());
			std::fflush(stdout);
		}
	}

	void end_prepared(Micros due)
	{
		std::vector<Run::Prepared> ready;

		{
			const std::lock_guard<std::mutex> lock(run->mutex);
			const auto first =
				std::partition(run->prepared.begin(), run->prepared.end(),
							   [due](const Run::Prepared &prepared) { return prepared.due > due; });

			ready.assign(first, run->prepared.end());
			run->prepared.erase(first, run->prepared.end());
		}
		for (const Run::Prepared &prepared : ready)
			(void) keeper.end_prepared(prepared);
	}

	/* The client of these was killed before it learned that they were prepared. */
	void end_forgotten()
	{
		for (const auto &row : keeper.query("SELECT gid FROM pg_prepared_xacts"))
			(void) keeper.end_prepared({row[0], 0, false});
	}

	void count();

	Run *run;
	Journal *journal;
	Client keeper;
	std::vector<std::string> failing;
	std::size_t failures = 0;
};

/* The load of each server by the documented formula, from the tables alone. */
constexpr const char *independent_count = R"(
	WITH live AS (
		SELECT l.room_id, l.user_id, l.gateway_name FROM live_sessions l
		WHERE current_setting('gxy_balancer.dead_session_timeout')::interval = '0'
			OR l.last_seen_at >= clock_timestamp() - current_setting('gxy_balancer.dead_session_timeout')::interval
	), room AS (
		SELECT a.room_id, a.gateway_name,
			(SELECT count(DISTINCT l.user_id) FROM live l WHERE l.room_id = a.room_id) AS active,
			CASE WHEN clock_timestamp() - a.assigned_at < current_setting('gxy_balancer.join_window')::interval
				THEN coalesce(a.expected_users, current_setting('gxy_balancer.avg_room_occupancy')::int) ELSE 0 END
				AS expected
		FROM room_server_assignments a
	), belongs AS (
		SELECT coalesce(a.gateway_name, l.gateway_name) AS server, l.user_id
		FROM live l LEFT JOIN room_server_assignments a ON a.room_id = l.room_id
	)
	SELECT s.name, concat_ws('/',
		(SELECT count(*) FROM room r WHERE r.gateway_name = s.name),
		(SELECT count(DISTINCT b.user_id) FROM belongs b WHERE b.server = s.name),
		(SELECT count(DISTINCT b.user_id) FROM belongs b WHERE b.server = s.name)
			+ (SELECT coalesce(sum(round((r.expected - r.active) ^ 2::numeric / r.expected)), 0)
				FROM room r WHERE r.gateway_name = s.name AND r.expected > r.active))
	FROM balancer_servers s)";

constexpr const char *own_count =
	"SELECT server, concat_ws('/', rooms, users, load) FROM balancer_load WHERE pool IS NOT NULL";

void
Course::count()
{
	const Micros start = journal->now();

	(void) keeper.scan();
	keeper.note({.operation = Operation::phase,
				 .arguments = "name=final",
				 .start = start,
				 .end = journal->now()});
	for (const char *source : {"view", "sql"})
		for (const auto &row : keeper.query(*source == 'v' ? own_count : independent_count))
			keeper.note({.operation = Operation::load,
						 .arguments = "server=" + row[0] + ",source=" + source,
						 .answer = row[1],
						 .start = start,
						 .end = journal->now()});
}

} // namespace

bool
run_phases(Run *run, Journal *journal)
{
	return Course(run, journal).go();
}

bool
run_failovers(Run *run, Journal *journal)
{
	return Course(run, journal).go_failovers();
}

} // namespace stress

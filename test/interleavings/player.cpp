/*
 * player.cpp: plays one order: sends statements, notices which sessions wait for locks, and checks
 * what came of it.
 *
 * A session is asked for only if its answer has not come within a moment. pg_blocking_pids() tells
 * whether it waits; the answer of a session that does not is on its way. One that has been found to
 * wait for sessions of its order waits until one of them acts, so it is not asked for until then.
 */
#include "player.hpp"

#include <poll.h>

#include <algorithm>
#include <utility>

namespace interleavings
{
namespace
{

constexpr std::chrono::microseconds first_look(1000);
constexpr std::chrono::microseconds last_look(20000);
constexpr std::chrono::seconds patience(120);
constexpr std::chrono::seconds patience_with_timeouts(20);
constexpr int prepared_transaction = 0; /* in place of a process id */

} // namespace

int
Outcome::blocked() const
{
	return static_cast<int>(
		std::count_if(played.begin(), played.end(), [](const Played &p) { return p.waited; }));
}

Player::Player(const Scenario &scenario, std::string database, const std::string &model)
	: scenario(scenario), database(std::move(database))
{
	Connection postgres("postgres");

	postgres.run("CREATE DATABASE " + this->database + " TEMPLATE " + model);
	control = std::make_unique<Connection>(this->database);
	for (const std::string &script : scenario.setup)
		control->run(with_database(script));
	connect();
	prepare_end();
	end_order(false);
}

Player::~Player()
{
	control.reset();
	sessions.clear();

	Connection postgres("postgres");

	postgres.run("DROP DATABASE " + database + " WITH (FORCE)");
}

std::string
Player::with_database(std::string sql) const
{
	const std::string variable = ":database";

	for (std::size_t at = 0; (at = sql.find(variable, at)) != std::string::npos;)
		sql.replace(at, variable.size(), database);
	return sql;
}

void
Player::connect()
{
	std::string settings = "SET client_min_messages = error;";

	for (const std::string &setting : scenario.settings)
		settings += "SET " + setting + ";";
	control->run(settings);
	for (std::size_t i = 0; i < scenario.sessions.size(); i++)
	{
		const std::string gate =
			std::to_string(scenario.sessions[i].has_gate() ? static_cast<int>(i) : -1);

		sessions.emplace_back().connection = std::make_unique<Connection>(database);
		sessions.back().connection->run(settings + "SET interleavings.gate = " + gate);
	}
}

std::vector<Actor>
Player::actors() const
{
	std::vector<Actor> found;

	for (std::size_t i = 0; i < sessions.size(); i++)
	{
		const std::vector<Statement> &statements = scenario.sessions[i].statements;
		const Actual &actual = sessions[i];
		Actor actor;

		actor.next = actual.next < statements.size() ? statements[actual.next].kind : Kind::none;
		actor.state = actual.paused				 ? State::paused
					  : actual.busy				 ? State::blocked
					  : actor.next == Kind::none ? State::done
												 : State::idle;
		found.push_back(actor);
	}
	return found;
}

int
Player::busy_sessions() const
{
	return static_cast<int>(
		std::count_if(sessions.begin(), sessions.end(), [](const Actual &a) { return a.busy; }));
}

void
Player::open_gate(int session)
{
	Actual &actual = sessions[static_cast<std::size_t>(session)];

	note_action(session);
	actual.gate_closed = false;
	actual.paused = false;
	control->query("open_gate" + std::to_string(session), {});
}

void
Player::close_gate(int session)
{
	sessions[static_cast<std::size_t>(session)].gate_closed = true;
	control->query("close_gate" + std::to_string(session), {});
}

/* The session begins its next statement. */
void
Player::begin(int session)
{
	Actual &actual = sessions[static_cast<std::size_t>(session)];
	const Statement &statement =
		scenario.sessions[static_cast<std::size_t>(session)].statements[actual.next++];

	if (statement.kind == Kind::release)
	{
		if (actual.gate_closed)
			open_gate(session);
		outcome.played.push_back({.statement = &statement,
								  .session = session,
								  .sent = ++events,
								  .ended = events,
								  .answer = {}});
		return;
	}
	/* It stops at the gate only if it can be told to go on. */
	if (actors()[static_cast<std::size_t>(session)].next == Kind::release)
		close_gate(session);
	note_action(session);
	actual.busy = true;
	actual.playing = outcome.played.size();
	outcome.played.push_back(
		{.statement = &statement, .session = session, .sent = ++events, .answer = {}});
	actual.connection->send(with_database(statement.sql));
}

/* The answers' rule: what a statement may do is written beside it. */
void
Player::judge(const Played &played, int session)
{
	Actual &actual = sessions[static_cast<std::size_t>(session)];
	const Statement &statement = *played.statement;
	const std::string &error = played.answer.error;

	if (played.waited && statement.never_waits)
		outcome.violations.push_back(statement.name + " waits");
	if (!error.empty() && !(error == "25P02" && actual.may_be_failed))
	{
		if (std::find(statement.errors.begin(), statement.errors.end(), error) ==
			statement.errors.end())
			outcome.violations.push_back(statement.name + " fails: " + error + " " +
										 played.answer.message);
	}
	actual.may_be_failed = actual.connection->in_failed_transaction();
}

void
Player::note_end(int session, const Answer &answer)
{
	Actual &actual = sessions[static_cast<std::size_t>(session)];

	note_action(session);
	actual.busy = false;
	actual.paused = false;
	if (!judging)
		return;

	Played &played = outcome.played[actual.playing];

	played.ended = ++events;
	played.answer = answer;
	judge(played, session);
}

/* The session is running or has run: what it and those that wait for it do is not known now. */
void
Player::note_action(int session)
{
	sessions[static_cast<std::size_t>(session)].surely_waits = false;
	for (Actual &actual : sessions)
		if (std::find(actual.waits_for.begin(), actual.waits_for.end(), session) !=
			actual.waits_for.end())
			actual.surely_waits = false;
}

/* All busy sessions wait: keeps it, except of those that wait for something else than sessions. */
void
Player::note_waits()
{
	for (Actual &actual : sessions)
		actual.surely_waits = actual.busy && actual.only_sessions;
}

bool
Player::all_surely_wait() const
{
	return std::all_of(sessions.begin(), sessions.end(),
					   [](const Actual &a) { return !a.busy || a.surely_waits; });
}

/* Waits for answers, at most for the limit. Returns whether one has come. */
bool
Player::take_answers(std::chrono::microseconds limit)
{
	std::vector<pollfd> waiting;
	std::vector<int> numbers;

	for (std::size_t i = 0; i < sessions.size(); i++)
		if (sessions[i].busy)
		{
			waiting.push_back({sessions[i].connection->socket(), POLLIN, 0});
			numbers.push_back(static_cast<int>(i));
		}

	timespec time = {.tv_sec = 0, .tv_nsec = limit.count() * 1000};
	bool some = false;

	if (ppoll(waiting.data(), waiting.size(), &time, nullptr) <= 0)
		return false;
	for (std::size_t i = 0; i < waiting.size(); i++)
	{
		Actual &actual = sessions[static_cast<std::size_t>(numbers[i])];

		if (waiting[i].revents == 0 || !actual.connection->take(&actual.answer))
			continue;
		note_end(numbers[i], std::exchange(actual.answer, {}));
		some = true;
	}
	return some;
}

/*
 * Asks the server which sessions wait. Returns whether all that have no answer yet do; sets
 * *deadlocked if they wait for each other.
 */
bool
Player::all_wait(bool *deadlocked)
{
	std::string pids = "{";
	std::vector<std::vector<int>> blockers(sessions.size());
	std::vector<std::size_t> asked;

	for (std::size_t i = 0; i < sessions.size(); i++)
		if (sessions[i].busy)
		{
			pids += (asked.empty() ? "" : ",") + std::to_string(sessions[i].connection->pid());
			asked.push_back(i);
		}

	Rows rows = control->query("blockers", {pids + "}"});
	bool all = true;

	for (std::size_t i = 0; i < asked.size(); i++)
	{
		const std::string list = "," + rows[i][0].substr(1, rows[i][0].size() - 2) + ",";
		auto names = [&](int pid) {
			return list.find("," + std::to_string(pid) + ",") != std::string::npos;
		};
		Actual &actual = sessions[asked[i]];
		std::vector<int> &others = blockers[asked[i]];

		for (std::size_t other = 0; other < sessions.size(); other++)
			if (names(sessions[other].connection->pid()))
				others.push_back(static_cast<int>(other));
		actual.paused = names(control->pid());
		actual.waits_for = others;
		actual.only_sessions = std::count(list.begin(), list.end(), ',') - 1 ==
							   static_cast<std::ptrdiff_t>(others.size()) + (actual.paused ? 1 : 0);

		/* Sessions of other databases hold locks for a moment, as for NOTIFY at their commit. */
		bool waits = !others.empty() || names(prepared_transaction);

		all = all && (waits || actual.paused);
		if (judging && waits)
			outcome.played[actual.playing].waited = true;
	}
	*deadlocked = has_cycle(blockers);
	return all;
}

void
Player::settle(bool patiently)
{
	const Clock::time_point limit =
		Clock::now() + (scenario.gives_up ? patience_with_timeouts : patience);
	std::chrono::microseconds look = first_look;
	int confirmed = 0;

	while (busy_sessions() > 0)
	{
		bool deadlocked = false;

		if (take_answers(confirmed > 0 ? std::chrono::microseconds(0) : look))
		{
			confirmed = 0;
			patiently = patiently && scenario.gives_up;
			if (!patiently && !scenario.gives_up && all_surely_wait())
				return;
			continue;
		}
		/*
		 * The sessions are asked about one after the other. What was found of one may be outdated
		 * if another was running then, so the second of two equal findings counts.
		 */
		if (all_wait(&deadlocked) && !deadlocked && !patiently && !scenario.gives_up)
		{
			if (++confirmed < 2 && busy_sessions() > 1)
				continue;
			note_waits();
			return;
		}
		confirmed = 0;
		look = std::min(look * 2, last_look);
		if (Clock::now() > limit)
		{
			outcome.violations.push_back("a statement does not end");
			for (Actual &actual : sessions)
				if (actual.busy)
					actual.connection->cancel();
		}
	}
}

Outcome
Player::play(const Order &order, bool strict)
{
	Order rest = order;

	outcome = {};
	events = 0;
	judging = true;
	for (Actual &actual : sessions)
		actual.next = 0, actual.gate_closed = false, actual.may_be_failed = false;
	for (;;)
	{
		Step step = choose(rest, actors(), strict);

		outcome.places = order.size() - rest.size() + 1;
		if (step.action == Action::finished)
			break;
		if (step.action == Action::impossible)
		{
			outcome.possible = false;
			break;
		}
		if (step.action == Action::go_on)
		{
			begin(step.session);
			rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(step.place));
		}
		settle(step.action == Action::wait);
	}
	judging = outcome.possible;
	wind_up();
	end_order(outcome.possible);
	return std::move(outcome);
}

} // namespace interleavings

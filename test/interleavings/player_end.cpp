/*
 * player_end.cpp: what is run after an order: it ends the transactions that are left, checks, and
 * makes the database ready for the next order.
 */
#include "player.hpp"

namespace interleavings
{
namespace
{

constexpr int gate = 4711; /* of pause_here() and of the debug pauses */
constexpr int orders_between_vacuums = 300;

std::string
json_text(const std::string &text)
{
	std::string quoted = "\"";

	for (char c : text)
	{
		if (c == '"' || c == '\\')
			quoted += '\\';
		quoted += c == '\n' ? ' ' : c;
	}
	return quoted + "\"";
}

std::string
quoted(const std::string &text)
{
	std::string literal = "'";

	for (char c : text)
		literal += c == '\'' ? "''" : std::string(1, c);
	return literal + "'";
}

} // namespace

/* Prepares what is run after each order. */
void
Player::prepare_end()
{
	control->prepare("blockers", "SELECT pg_blocking_pids(p)::text FROM unnest($1::int[]) p");
	control->prepare("prepared",
					 "SELECT gid FROM pg_prepared_xacts WHERE database = current_database()");
	prepare_checks();
	prepare_reset();
	for (std::size_t i = 0; i < sessions.size(); i++)
	{
		const std::string key = "(" + std::to_string(gate) + ", " + std::to_string(i) + ")";

		control->prepare("close_gate" + std::to_string(i), "SELECT pg_advisory_lock" + key);
		control->prepare("open_gate" + std::to_string(i), "SELECT pg_advisory_unlock" + key);
	}
}

/* The checks are one statement, which returns the violations. */
void
Player::prepare_checks()
{
	std::string all;

	for (const Check &check : scenario.checks)
		all += std::string(all.empty() ? "" : " UNION ALL ") + "SELECT " + quoted(check.title) +
			   " || ': ' || violation FROM (" + with_database(check.sql) + ") AS c(violation)";
	control->prepare("check",
					 "WITH answers AS MATERIALIZED (SELECT * FROM json_to_recordset($1::json) "
					 "AS a(session text, step text, sent int, ended int, waited bool, "
					 "answer text, error text)) " +
						 all);
}

/* The resets are one call, each of them a transaction. */
void
Player::prepare_reset()
{
	const std::string select = "SELECT ";
	std::string body;

	for (const std::string &reset : scenario.resets)
	{
		std::string statement = with_database(reset.substr(reset.find_first_not_of(" \t\n")));

		if (statement.starts_with(select))
			statement.replace(0, select.size(), "PERFORM ");
		body += statement + "; COMMIT; ";
	}
	control->run("CREATE PROCEDURE make_ready() LANGUAGE plpgsql AS $make_ready$ BEGIN " + body +
				 "END $make_ready$");
	control->prepare("make_ready", "CALL make_ready()");
}

/* Ends all transactions that are left. */
void
Player::wind_up()
{
	if (scenario.has_gates())
		control->run("SELECT pg_advisory_unlock_all()");
	for (;;)
	{
		bool none = busy_sessions() == 0;

		for (Actual &actual : sessions)
			actual.surely_waits = false;
		for (Actual &actual : sessions)
			if (!actual.busy && actual.connection->in_transaction())
			{
				actual.connection->run("ROLLBACK");
				none = false;
			}
		if (none)
			break;
		if (scenario.prepares())
			roll_back_prepared();
		settle(scenario.gives_up);
	}
	if (scenario.prepares())
		roll_back_prepared();
}

void
Player::roll_back_prepared()
{
	for (const auto &row : control->query("prepared", {}))
		control->run("ROLLBACK PREPARED '" + row[0] + "'");
}

std::string
Player::answers_as_json() const
{
	std::string json = "[";

	for (const Played &played : outcome.played)
	{
		json += json.size() > 1 ? ",{" : "{";
		json += "\"session\":" +
				json_text(scenario.sessions[static_cast<std::size_t>(played.session)].name);
		json += ",\"step\":" + json_text(played.statement->name);
		json += ",\"sent\":" + std::to_string(played.sent);
		json += ",\"ended\":" + std::to_string(played.ended);
		json += std::string(",\"waited\":") + (played.waited ? "true" : "false");
		if (played.answer.error.empty())
			json += ",\"answer\":" + json_text(played.answer.value);
		else
			json += ",\"error\":" + json_text(played.answer.error);
		json += "}";
	}
	return json + "]";
}

/* Runs the checks, if they are wanted, and makes everything ready for the next order. */
void
Player::end_order(bool check)
{
	std::vector<Connection::Call> calls;

	if (check)
		calls.push_back({"check", {answers_as_json()}});
	calls.push_back({"make_ready", {}});

	std::vector<Connection::Result> results = control->run_all(calls);

	if (!results.back().error.empty())
		give_up(scenario.name + ": " + results.back().error);
	if (check && !results[0].error.empty())
		outcome.violations.push_back("a check fails: " + results[0].error);
	if (check)
		for (const auto &row : results[0].rows)
			outcome.violations.push_back(row[0]);
	if (++orders % orders_between_vacuums == 0)
		control->run("VACUUM");
}

} // namespace interleavings

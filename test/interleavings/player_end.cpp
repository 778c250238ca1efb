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

} // namespace

/* Prepares what is run after each order. */
void
Player::prepare_end()
{
	control->prepare("blockers", "SELECT pg_blocking_pids(p)::text FROM unnest($1::int[]) p");
	control->prepare("prepared",
					 "SELECT gid FROM pg_prepared_xacts WHERE database = current_database()");
	for (std::size_t i = 0; i < scenario.checks.size(); i++)
		control->prepare("check" + std::to_string(i),
						 "WITH answers AS MATERIALIZED (SELECT * FROM json_to_recordset($1::json) "
						 "AS a(session text, step text, sent int, ended int, waited bool, "
						 "answer text, error text)) " +
							 with_database(scenario.checks[i].sql));
	for (std::size_t i = 0; i < scenario.resets.size(); i++)
		control->prepare("reset" + std::to_string(i), with_database(scenario.resets[i]));
	for (std::size_t i = 0; i < sessions.size(); i++)
	{
		const std::string key = "(" + std::to_string(gate) + ", " + std::to_string(i) + ")";

		control->prepare("close_gate" + std::to_string(i), "SELECT pg_advisory_lock" + key);
		control->prepare("open_gate" + std::to_string(i), "SELECT pg_advisory_unlock" + key);
	}
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
	std::size_t checks = check ? scenario.checks.size() : 0;
	std::string answers = checks > 0 ? answers_as_json() : "";

	for (std::size_t i = 0; i < checks; i++)
		calls.push_back({"check" + std::to_string(i), {answers}});
	for (std::size_t i = 0; i < scenario.resets.size(); i++)
		calls.push_back({"reset" + std::to_string(i), {}});

	std::vector<Connection::Result> results = control->run_all(calls);

	for (std::size_t i = 0; i < results.size(); i++)
	{
		const Connection::Result &result = results[i];

		if (!result.error.empty() && i >= checks)
			give_up(scenario.name + ": " + result.error);
		if (i >= checks)
			continue;
		if (!result.error.empty())
			outcome.violations.push_back(scenario.checks[i].title + ": " + result.error);
		for (const auto &row : result.rows)
			outcome.violations.push_back(scenario.checks[i].title + ": " + row[0]);
	}
	if (++orders % orders_between_vacuums == 0)
		control->run("VACUUM");
}

} // namespace interleavings

/*
 * client.cpp: the operations as SQL.
 */
#include "client.hpp"

#include <array>
#include <cstring>
#include <thread>

namespace stress
{
namespace
{

/* An eager client renews with every call. */
constexpr int clients_to_an_eager_one = 8;

const char *
sql_of(Level level)
{
	switch (level)
	{
		case Level::serializable:
			return "SERIALIZABLE";
		case Level::repeatable_read:
			return "REPEATABLE READ";
		case Level::read_committed:
			break;
	}
	return "READ COMMITTED";
}

std::string
short_of(Level level)
{
	switch (level)
	{
		case Level::serializable:
			return "ser";
		case Level::repeatable_read:
			return "rr";
		case Level::read_committed:
			break;
	}
	return "rc";
}

/* In the history's form: one word. */
std::string
answer_in(PGresult *result)
{
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		return PQcmdTuples(result);
	return PQntuples(result) > 0 ? PQgetvalue(result, 0, 0) : "";
}

} // namespace

Client::Client(Run *run, Journal *journal, int number, Level level)
	: number(number), run(run), pen(journal, number), level(level)
{
	connect();
}

Client::~Client()
{
	run->backends[static_cast<std::size_t>(number)] = 0;
	PQfinish(connection);
}

void
Client::connect()
{
	constexpr int attempts = 50;
	Record record = {.operation = Operation::connect, .start = now()};

	for (int i = 0; i < attempts; i++)
	{
		if (connection != nullptr)
			PQfinish(connection);
		connection = PQconnectdb("");
		if (PQstatus(connection) == CONNECTION_OK)
			break;
		std::this_thread::sleep_for(std::chrono::milliseconds(100));
	}
	record.end = now();
	if (PQstatus(connection) != CONNECTION_OK)
	{
		std::fprintf(stderr, "client %d: %s", number, PQerrorMessage(connection));
		record.outcome = Outcome::lost;
		run->failed = true;
	}
	else
	{
		const std::string set =
			std::string("SET default_transaction_isolation = '") + sql_of(level) + "'";

		PQclear(PQexec(connection, set.c_str()));
		PQclear(PQexec(connection, "SET client_min_messages = error"));
		if (number % clients_to_an_eager_one == 1)
			PQclear(PQexec(connection, "SET gxy_balancer.touch_interval = 0"));
	}
	run->backends[static_cast<std::size_t>(number)] = PQbackendPID(connection);
	is_lost = false;
	transaction = "-";
	note(std::move(record));
}

void
Client::take(PGresult *result, Record *record)
{
	const ExecStatusType status = PQresultStatus(result);
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);

	if (PQstatus(connection) == CONNECTION_BAD)
	{
		record->outcome = Outcome::lost;
		record->answer = state != nullptr ? state : "";
		is_lost = true;
	}
	else if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK)
		record->answer = answer_in(result);
	else
	{
		record->outcome = Outcome::failed;
		record->answer = state != nullptr ? state : "?????";
	}
	/* COMMIT of a failed transaction succeeds with the command tag ROLLBACK. */
	if (record->operation == Operation::commit && record->answered() &&
		std::strcmp(PQcmdStatus(result), "COMMIT") != 0)
	{
		record->outcome = Outcome::failed;
		record->answer = "25P02";
	}
	PQclear(result);
}

void
Client::run_statement(Record *record, const char *sql, Parameters parameters)
{
	record->start = now();
	take(PQexecParams(connection, sql, static_cast<int>(parameters.size()), nullptr,
					  parameters.begin(), nullptr, nullptr, 0),
		 record);
	record->end = now();
}

bool
Client::call(Operation operation, const std::string &room, std::string arguments, const char *sql,
			 Parameters parameters)
{
	if (is_lost)
		connect();

	Record record = {.operation = operation,
					 .transaction = transaction,
					 .room = room,
					 .arguments = arguments.empty() ? "-" : std::move(arguments)};

	run_statement(&record, sql, parameters);
	last = record;
	if (is_lost)
		transaction = "-";
	note(std::move(record));
	return last.answered();
}

std::string
Client::with_level(std::string arguments) const
{
	if (in_transaction())
		return arguments;
	return "level=" + short_of(level) + (arguments.empty() ? "" : ",") + arguments;
}

void
Client::hold(Micros time)
{
	std::this_thread::sleep_for(std::chrono::microseconds(time));
}

bool
Client::begin(Level level_of_transaction, bool sorted)
{
	const std::string sql = std::string("BEGIN ISOLATION LEVEL ") + sql_of(level_of_transaction);

	if (is_lost)
		connect();
	transaction = std::to_string(number) + "." +
				  std::to_string(++run->transactions[static_cast<std::size_t>(number)]);
	return call(Operation::begin, "-",
				"level=" + short_of(level_of_transaction) + ",order=" + (sorted ? "sorted" : "any"),
				sql.c_str(), {});
}

bool
Client::end_transaction(Operation operation, const char *sql)
{
	const bool done = !is_lost && call(operation, "-", "", sql, {});

	transaction = "-";
	return done;
}

bool
Client::commit()
{
	return end_transaction(Operation::commit, "COMMIT");
}

bool
Client::roll_back()
{
	return end_transaction(Operation::rollback, "ROLLBACK");
}

bool
Client::savepoint()
{
	return call(Operation::savepoint, "-", "name=s", "SAVEPOINT s", {});
}

bool
Client::roll_back_to()
{
	return call(Operation::rollback_to, "-", "name=s", "ROLLBACK TO s", {});
}

bool
Client::prepare(Micros due, bool commit)
{
	const std::string name = transaction;
	const std::string sql = "PREPARE TRANSACTION '" + name + "'";

	if (!end_transaction(Operation::prepare, sql.c_str()))
		return false;

	const std::lock_guard<std::mutex> lock(run->mutex);

	run->prepared.push_back({name, due, commit});
	return true;
}

bool
Client::end_prepared(const Run::Prepared &prepared)
{
	const std::string sql = (prepared.commit ? "COMMIT PREPARED '" : "ROLLBACK PREPARED '") +
							prepared.transaction + "'";

	if (is_lost)
		connect();
	transaction = prepared.transaction;
	return end_transaction(
		prepared.commit ? Operation::commit_prepared : Operation::rollback_prepared, sql.c_str());
}

bool
Client::assign(const std::string &room, const char *region, int expected)
{
	const std::string users = std::to_string(expected);
	std::string arguments = region != nullptr ? std::string("region=") + region : "";

	if (expected > 0)
		arguments += (arguments.empty() ? "expected=" : ",expected=") + users;
	return call(Operation::assign, room, with_level(std::move(arguments)),
				"SELECT get_or_assign_server($1::text, $2::text, $3::int)",
				{room.c_str(), region, expected > 0 ? users.c_str() : nullptr});
}

bool
Client::touch(const std::string &room)
{
	return call(Operation::touch, room, with_level(""), "SELECT touch_room($1::text)",
				{room.c_str()});
}

bool
Client::release(const std::string &room)
{
	return call(Operation::release, room, with_level(""), "SELECT release_room($1::text)",
				{room.c_str()});
}

bool
Client::clean(int grace)
{
	const std::string milliseconds = std::to_string(grace);

	return call(Operation::clean, "-", with_level(grace < 0 ? "" : "grace=" + milliseconds),
				"SELECT clean_inactive_assignments($1::int * interval '1 millisecond')",
				{grace < 0 ? nullptr : milliseconds.c_str()});
}

/*
 * A row in the history's form. xmax keeps the lock of a version that was locked when it was made.
 */
#define ROW                                                                                        \
	"gateway_name || '@' || (extract(epoch FROM assigned_at) * 1000000)::bigint"                   \
	" || CASE WHEN xmax::text IN ('0', xmin::text) THEN '' ELSE '*' END"

bool
Client::look(const std::string &room)
{
	return call(Operation::look, room, with_level(""),
				"SELECT " ROW " FROM room_server_assignments WHERE room_id = $1", {room.c_str()});
}

bool
Client::scan()
{
	return call(Operation::scan, "-", with_level(""),
				"SELECT string_agg(room_id || '=' || " ROW ", ';') FROM room_server_assignments",
				{});
}

bool
Client::enter(const std::string &room, const std::string &server, int user)
{
	const std::string id = std::to_string(number * 10'000'000 + ++sessions_made);
	const std::string user_id = std::to_string(user);

	sessions.push_back({id, room});
	return call(Operation::enter, room, with_level("session=" + id + ",server=" + server),
				"INSERT INTO sessions (id, user_id, room_id, gateway_id) "
				"SELECT $1::bigint, $2::bigint, $3, g.id FROM gateways g WHERE g.name = $4",
				{id.c_str(), user_id.c_str(), room.c_str(), server.c_str()});
}

bool
Client::leave()
{
	if (sessions.empty())
		return true;

	const Session session = sessions.front();

	sessions.erase(sessions.begin());
	return call(Operation::leave, session.room, with_level("session=" + session.id),
				"UPDATE sessions SET removed_at = clock_timestamp() WHERE id = $1::bigint",
				{session.id.c_str()});
}

bool
Client::upsert(const std::string &room, const std::string &server)
{
	return call(Operation::upsert, room, with_level("server=" + server),
				"INSERT INTO room_server_assignments (room_id, gateway_name) VALUES ($1, $2) "
				"ON CONFLICT (room_id) DO UPDATE "
				"SET gateway_name = excluded.gateway_name, last_used_at = clock_timestamp()",
				{room.c_str(), server.c_str()});
}

bool
Client::erase(const std::string &room)
{
	return call(Operation::erase, room, with_level(""),
				"DELETE FROM room_server_assignments WHERE room_id = $1", {room.c_str()});
}

bool
Client::wipe()
{
	return call(Operation::wipe, "-", with_level(""), "DELETE FROM room_server_assignments", {});
}

bool
Client::edit_server(const std::string &server, const std::string &change, int priority)
{
	const std::string arguments = with_level("name=" + server + ",change=" + change);
	const std::string number_text = std::to_string(priority);

	if (change == "add")
		return call(Operation::server, "-", arguments,
					"INSERT INTO balancer_servers (name) VALUES ($1) ON CONFLICT DO NOTHING",
					{server.c_str()});
	if (change == "drop")
		return call(Operation::server, "-", arguments,
					"DELETE FROM balancer_servers WHERE name = $1", {server.c_str()});
	if (change == "priority")
		return call(Operation::server, "-", arguments,
					"UPDATE balancer_servers SET priority = $2::int WHERE name = $1",
					{server.c_str(), number_text.c_str()});
	return call(Operation::server, "-", arguments,
				"UPDATE balancer_servers SET state = $2 WHERE name = $1",
				{server.c_str(), change.c_str()});
}

bool
Client::fail_server(const std::string &server, int delay)
{
	const std::string milliseconds = std::to_string(delay);
	const std::string set = "SET gxy_balancer.failover_delay = " + milliseconds;

	(void) query(set.c_str());
	return call(Operation::server, "-",
				with_level("name=" + server + ",change=offline,delay=" + milliseconds),
				"UPDATE balancer_servers SET state = 'offline' WHERE name = $1", {server.c_str()});
}

bool
Client::kill(int client)
{
	const std::string pid = std::to_string(run->backends[static_cast<std::size_t>(client)].load());

	return call(Operation::kill, "-", "client=" + std::to_string(client),
				"SELECT pg_terminate_backend($1::int)", {pid.c_str()});
}

std::vector<std::vector<std::string>>
Client::query(const char *sql)
{
	std::vector<std::vector<std::string>> rows;

	if (is_lost)
		connect();

	PGresult *result = PQexec(connection, sql);
	const ExecStatusType status = PQresultStatus(result);

	if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK)
	{
		std::fprintf(stderr, "%s: %s", sql, PQresultErrorMessage(result));
		run->failed = true;
	}
	for (int row = 0; row < PQntuples(result); row++)
	{
		rows.emplace_back();
		for (int column = 0; column < PQnfields(result); column++)
			rows.back().emplace_back(PQgetvalue(result, row, column));
	}
	PQclear(result);
	return rows;
}

} // namespace stress

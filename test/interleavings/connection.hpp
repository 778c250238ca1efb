/*
 * connection.hpp: one connection to the server.
 */
#pragma once

#include <libpq-fe.h>

#include <string>
#include <vector>

namespace interleavings
{

/* What a statement has returned. */
struct Answer
{
	/* Of the last result: its first column in its first row, or the command tag. */
	std::string value;
	std::string error; /* SQLSTATE; empty if there is none */
	std::string message;
};

using Rows = std::vector<std::vector<std::string>>;

/* A mistake of a scenario, or a server that does not answer: ends the run. */
[[noreturn]] void give_up(const std::string &what);

class Connection
{
public:
	explicit Connection(const std::string &database);
	Connection(const Connection &) = delete;
	Connection &operator=(const Connection &) = delete;
	~Connection();

	int pid() const { return PQbackendPID(handle); }
	int socket() const { return PQsocket(handle); }
	bool in_transaction() const;
	bool in_failed_transaction() const;

	/* Runs a script, or a prepared statement. Ends the run if that fails. */
	void run(const std::string &script);
	Rows query(const std::string &prepared, const std::vector<std::string> &parameters);
	void prepare(const std::string &name, const std::string &sql);

	/* Sends a statement. take() takes what has come of its answer; true: that is complete. */
	void send(const std::string &sql);
	bool take(Answer *answer);
	void cancel();

	/* Runs prepared statements in one round trip, each in a transaction of its own. */
	struct Call
	{
		std::string prepared;
		std::vector<std::string> parameters;
	};
	struct Result
	{
		Rows rows;
		std::string error;
	};
	std::vector<Result> run_all(const std::vector<Call> &calls);

private:
	void send_prepared(const Call &call);
	PGconn *handle;
};

} // namespace interleavings

/*
 * connection.cpp: libpq.
 */
#include "connection.hpp"

#include <cstdio>
#include <cstdlib>

namespace interleavings
{
namespace
{

Rows
rows_of(const PGresult *result)
{
	Rows rows;

	for (int row = 0; row < PQntuples(result); row++)
	{
		rows.emplace_back();
		for (int column = 0; column < PQnfields(result); column++)
			rows.back().push_back(PQgetvalue(result, row, column));
	}
	return rows;
}

bool
succeeded(const PGresult *result)
{
	switch (PQresultStatus(result))
	{
		case PGRES_COMMAND_OK:
		case PGRES_TUPLES_OK:
		case PGRES_EMPTY_QUERY:
			return true;
		default:
			return false;
	}
}

void
ignore_notice(void *, const PGresult *)
{
}

} // namespace

void
give_up(const std::string &what)
{
	std::fflush(stdout);
	std::fprintf(stderr, "not ok - %s\n", what.c_str());
	std::_Exit(1);
}

Connection::Connection(const std::string &database)
	: handle(PQconnectdb(("dbname=" + database + " application_name=interleavings").c_str()))
{
	if (PQstatus(handle) != CONNECTION_OK)
		give_up(PQerrorMessage(handle));
	PQsetNoticeReceiver(handle, ignore_notice, nullptr);
	PQsetnonblocking(handle, 0);
}

Connection::~Connection()
{
	PQfinish(handle);
}

bool
Connection::in_transaction() const
{
	return PQtransactionStatus(handle) == PQTRANS_INTRANS || in_failed_transaction();
}

bool
Connection::in_failed_transaction() const
{
	return PQtransactionStatus(handle) == PQTRANS_INERROR;
}

void
Connection::run(const std::string &script)
{
	PGresult *result = PQexec(handle, script.c_str());

	if (!succeeded(result))
		give_up(PQerrorMessage(handle) + ("in: " + script));
	PQclear(result);
}

void
Connection::prepare(const std::string &name, const std::string &sql)
{
	PGresult *result = PQprepare(handle, name.c_str(), sql.c_str(), 0, nullptr);

	if (!succeeded(result))
		give_up(PQerrorMessage(handle) + ("in: " + sql));
	PQclear(result);
}

void
Connection::send_prepared(const Call &call)
{
	std::vector<const char *> values;

	for (const std::string &parameter : call.parameters)
		values.push_back(parameter.c_str());
	if (PQsendQueryPrepared(handle, call.prepared.c_str(), static_cast<int>(values.size()),
							values.data(), nullptr, nullptr, 0) != 1)
		give_up(PQerrorMessage(handle));
}

Rows
Connection::query(const std::string &prepared, const std::vector<std::string> &parameters)
{
	send_prepared({prepared, parameters});

	PGresult *result = PQgetResult(handle);
	Rows rows = rows_of(result);

	if (!succeeded(result))
		give_up(PQerrorMessage(handle) + ("in: " + prepared));
	PQclear(result);
	while ((result = PQgetResult(handle)) != nullptr)
		PQclear(result);
	return rows;
}

std::vector<Connection::Result>
Connection::run_all(const std::vector<Call> &calls)
{
	std::vector<Result> results;

	PQenterPipelineMode(handle);
	for (const Call &call : calls)
	{
		send_prepared(call);
		PQpipelineSync(handle);
	}
	while (results.size() < calls.size())
	{
		Result taken;
		bool synchronized = false;

		while (!synchronized)
		{
			PGresult *result = PQgetResult(handle);

			if (result == nullptr)
				continue;
			synchronized = PQresultStatus(result) == PGRES_PIPELINE_SYNC;
			if (!synchronized && succeeded(result))
				taken.rows = rows_of(result);
			else if (!synchronized)
				taken.error = PQresultErrorMessage(result);
			PQclear(result);
			if (PQstatus(handle) != CONNECTION_OK)
				give_up(PQerrorMessage(handle));
		}
		results.push_back(taken);
	}
	PQexitPipelineMode(handle);
	return results;
}

void
Connection::send(const std::string &sql)
{
	if (PQsendQuery(handle, sql.c_str()) != 1)
		give_up(PQerrorMessage(handle) + ("in: " + sql));
}

bool
Connection::take(Answer *answer)
{
	if (PQconsumeInput(handle) != 1)
		give_up(PQerrorMessage(handle));
	while (PQisBusy(handle) == 0)
	{
		PGresult *result = PQgetResult(handle);

		if (result == nullptr)
			return true;
		if (!succeeded(result))
		{
			const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);

			answer->error = state != nullptr ? state : "?????";
			answer->message = PQresultErrorMessage(result);
		}
		else if (PQntuples(result) > 0)
			answer->value = PQgetvalue(result, 0, 0);
		else if (PQresultStatus(result) == PGRES_COMMAND_OK)
			answer->value = PQcmdStatus(result);
		PQclear(result);
	}
	return false;
}

void
Connection::cancel()
{
	char error[256];
	PGcancel *request = PQgetCancel(handle);

	PQcancel(request, error, sizeof error);
	PQfreeCancel(request);
}

} // namespace interleavings

/*
 * history.hpp: the history that the clients of a stress run write, and the checker reads.
 *
 * Text, one operation in a line, eight fields separated by tabs:
 *
 *     client  transaction  operation  room  arguments  outcome  start  end
 *
 * transaction is "-" for a call that is its own transaction. arguments are "name=value", separated
 * by commas. The outcome is "=answer", "!SQLSTATE", or "?" if the connection was lost and the
 * outcome is unknown. start and end enclose the call, in microseconds of one clock that never steps
 * back. A missing room or missing arguments are "-".
 *
 * The operations and their answers:
 *
 *     setting name=,value=            of the run
 *     phase name=                     of the run; spread_*: new rooms of equal size only
 *     connect; kill client=           a connection (again); pg_terminate_backend() of that
 *                                     client's: t or f
 *     begin level=rc|rr|ser,order=sorted|any; savepoint name=; rollback_to name=; commit; rollback
 *     prepare; commit_prepared; rollback_prepared    the last two may be another client's
 *     assign level= region= expected= the server; level is given for a call that is its own
 *                                     transaction
 *     touch; release                  t or f
 *     clean grace=                    in milliseconds, absent: the setting's; the number of rooms
 *                                     freed
 *     look                            the application's SELECT: server@assigned_at, followed by *
 *                                     if a transaction may have begun to delete the row; or
 *                                     nothing
 *     scan                            the same of the whole table: room=server@assigned_at;...
 *     enter session=,server=; leave session=    a session of the room: rows written
 *     upsert server=; delete; wipe    the application's own statements: rows written; wipe: of all
 *                                     rooms
 *     server name=,change=            an edit of the pool: rows written; change=offline,delay=: its
 *                                     rooms must be on other servers that many milliseconds later,
 *                                     until it is online
 *     load server=,source=view|sql    users/rooms/load after the run: balancer_load, or an
 *                                     independent count
 */
#pragma once

#include <cstdint>
#include <istream>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace stress
{

using Micros = std::int64_t;
constexpr Micros forever = std::numeric_limits<Micros>::max() / 4;

enum class Operation : std::uint8_t
{
	setting,
	phase,
	connect,
	kill,
	begin,
	savepoint,
	rollback_to,
	commit,
	rollback,
	prepare,
	commit_prepared,
	rollback_prepared,
	assign,
	touch,
	release,
	clean,
	look,
	enter,
	leave,
	upsert,
	erase,
	wipe,
	server,
	scan,
	load,
	count /* the number of operations; no operation itself */
};

std::string_view name_of(Operation operation);

enum class Outcome : std::uint8_t
{
	answered,
	failed, /* answer is the SQLSTATE */
	lost
};

struct Record
{
	std::size_t line = 0;	/* in the file, from 1 */
	std::size_t number = 0; /* in the order of starts, from 1 */
	int client = 0;
	Operation operation = Operation::count;
	Outcome outcome = Outcome::answered;
	std::string transaction = "-";
	std::string room = "-";
	std::string arguments = "-";
	std::string answer = {};
	Micros start = 0;
	Micros end = 0;

	bool answered() const { return outcome == Outcome::answered; }
	bool autocommit() const { return transaction == "-"; }

	/* The value of a named argument, empty if it is missing. */
	std::string_view argument(std::string_view name) const;
};

/* The line of a record, without its newline. */
std::string format(const Record &record);

/* What is wrong with the line; empty if it is valid. */
std::string_view parse(std::string_view line, Record *record);

/*
 * The records of a file by start time. Sets complaint if the file is no history. Lines that begin
 * with # are comments.
 */
std::vector<Record> read_history(std::istream &file, std::string *complaint);

} // namespace stress

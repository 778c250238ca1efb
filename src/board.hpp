/*
 * board.hpp: what each server carries, in shared memory, so that a new room need not count it.
 *
 * Present where the library is preloaded; one for each of a few databases. What is written on it by a transaction, and
 * what becomes of that when the transaction ends, is the ledger's business (ledger.hpp); how it all fits together is
 * told at the head of board.cpp.
 */
#pragma once

#include "array.hpp"
#include "policy.hpp"

namespace gxy
{

/* What a server carries, or by how much that changes. */
struct Burden
{
	std::int64_t load = 0; /* users, there or expected */
	std::int64_t rooms = 0;

	Burden &operator+=(const Burden &other)
	{
		load += other.load;
		rooms += other.rooms;
		return *this;
	}
	Burden operator-() const { return {-load, -rooms}; }
};

struct Board;

/* To be called while libraries are being preloaded. */
void request_boards();

/* That of this database, claimed at the first use; nullptr: none. Not for transaction callbacks. */
Board *board_here();

/* Where a server is on the board, taken if it has no place yet; -1 if there is none left, which puts the board off. */
int place_on_board(Board *board, std::uint64_t server);

/* By how much a transaction has changed what a server carries. */
struct BoardChange
{
	int place;	 /* -1: the table has been emptied */
	int level;	 /* nest level of the (sub)transaction */
	Burden gain; /* counts for everybody from the start */
	Burden loss; /* negative; counts for others once it is committed */
};

/* The current transaction, which has the top-level id, changes something; it is going to say how it ended. */
void write_on_board(Board *board, TransactionId transaction, const BoardChange &change);

/* The same for what turned out not to be, or was rolled back. */
void take_from_board(Board *board, const BoardChange *changes, int count, bool transaction_ends);

/* The current transaction has been committed, and is visible as such. */
void settle_on_board(Board *board, TransactionId transaction, const BoardChange *changes,
					 int count);

/* The current transaction has been prepared: whoever reads the board looks how it ended. */
void leave_on_board(Board *board, TransactionId transaction, const BoardChange *changes, int count);

/* A room that may have live sessions loses its assignment, if the current transaction commits. */
void suspect_on_board(Board *board, TransactionId transaction, std::uint64_t room);

/* What a count was made with: another basis gives other numbers. */
using Basis = std::uint64_t;

enum class Reserved
{
	yes,	 /* and written on the board */
	refused, /* by the policy */
	suspect, /* the room may have live sessions: look, and say so */
	no_count /* none that is usable, or not by these rules */
};

struct ReserveRequest
{
	Basis basis;
	std::uint64_t room;
	bool room_examined; /* the servers' room_sessions are known */
	std::int64_t expected;
	Burden burden; /* of the room, on whichever server */
	const Rules *rules;
	std::span<const BoardChange> own; /* of this transaction */
};

/*
 * Chooses among servers by what the board says they carry, filled in here, and writes the room on the board in the same
 * step. places: of the servers, by place_on_board().
 */
Reserved reserve_on_board(Board *board, const ReserveRequest &request, Server *servers,
						  const int *places, int count, Decision *decision);

/* A count of what is in the tables, being made. */
struct BoardCount
{
	Snapshot snapshot = nullptr; /* registered; what it sees has to be counted */
	bool wants_prepared = false; /* rows of prepared transactions, too, apart */
};

/* Whether there is no count by these rules that is younger than max_age (microseconds). A guess, made without a lock. */
bool count_is_due(const Board *board, Basis basis, TimestampTz now, std::int64_t max_age);

/* nullptr snapshot: it is not due, or somebody else makes it. */
BoardCount begin_count(Board *board, Basis basis, TimestampTz now, std::int64_t max_age);

struct CountedServer
{
	int place;
	Burden burden;
};

struct PreparedRow
{
	TransactionId transaction;
	int place;
	Burden burden;
};

struct CountResult
{
	Array<CountedServer> servers;
	Array<std::uint64_t> suspects; /* rooms with live sessions and no assignment */
	Array<PreparedRow> prepared;
};

/* False: a transaction that the count has seen has yet to say so on the board; try again in a moment. */
bool install_count(Board *board, Basis basis, const CountResult &result);
void abandon_count(Board *board);

/* Rooms and sessions have changed in a way the board has not been told: counts are due at once. */
void outdate_count(Board *board);

/* Without a count that can be used, waits for the one somebody else is making, but no longer than so many milliseconds. */
void wait_for_count(Board *board, Basis basis, int milliseconds);

/* Reads what servers carry; false if there is no usable count by these rules. counted_at: 0 if that is due. */
bool read_board(Board *board, Basis basis, const int *places, Burden *burdens, int count,
				TimestampTz *counted_at);

} // namespace gxy

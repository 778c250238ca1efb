/*
 * load_cache.hpp: what each server carries, in shared memory, so that a new room need not count it.
 *
 * One for each database, made at its first use (shared/load_cache_state.hpp). What is written on it by a transaction, and
 * what becomes of that when the transaction ends, is the ledger's business (shared/load_cache_xact.hpp); how it all fits together is
 * told at the head of shared/load_cache.cpp.
 */
#pragma once

#include "shared/load_cache_state.hpp"
#include "shared/load_delta.hpp"
#include "policy/placement_policy.hpp"

namespace gxy
{

/* Where a server is on the board, taken for good if it has no place yet; -1 if there is no memory for one. */
int place_on_board(Board *board, std::uint64_t server);

/* The current transaction, which has the top-level id, changes something; it is going to say how it ended. */
void write_on_board(Board *board, TransactionId transaction, const BoardChange &change);

/* The same for what turned out not to be, or was rolled back. */
void take_from_board(Board *board, const BoardChange *changes, int count, bool transaction_ends);

/* The current transaction has been committed, and is visible as such. */
void settle_on_board(Board *board, TransactionId transaction, const BoardChange *changes,
					 int count);

/*
 * The current transaction has been prepared: whoever reads the board looks how it ended. block: by allocate_prepared(),
 * for so many changes; 0 if there was no memory.
 */
void leave_on_board(Board *board, TransactionId transaction, const BoardChange *changes, int count,
					SharedPointer block);

/* The current transaction is not prepared after all; also in its callback. */
void discard_prepared(Board *board, SharedPointer block);

/* A room that may have live sessions loses its assignment, if the current transaction commits. */
void suspect_on_board(Board *board, TransactionId transaction, std::uint64_t room);

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
	const int *claimed_by;			  /* see hand_over_claimed() */
	std::span<const BoardChange> own; /* of this transaction */
};

/*
 * The board has a room where its row has it; whoever reads it gives what a failed server carries to the one that has
 * claimed its rooms. claimed_by: by server, itself if it has been claimed by none; nullptr: so it is for all.
 */
template <typename T>
void
hand_over_claimed(T *servers, const int *claimed_by, int count)
{
	for (int i = 0; i < count && claimed_by != nullptr; i++)
	{
		T &from = servers[i], &to = servers[claimed_by[i]];

		if (&from == &to)
			continue;
		to.rooms += std::exchange(from.rooms, 0);
		to.load += std::exchange(from.load, 0);
	}
}

/*
 * Chooses among servers by what the board says they carry, filled in here, and writes the room on the board in the same
 * step. places: of the servers, by place_on_board().
 */
Reserved reserve_on_board(Board *board, const ReserveRequest &request, Server *servers,
						  const int *places, int count, Decision *decision);

/* Reads what servers carry; false if there is no usable count by these rules. counted_at: 0 if that is due. */
bool read_board(Board *board, Basis basis, const int *places, Burden *burdens, int count,
				TimestampTz *counted_at);

} // namespace gxy

/*
 * load_cache_xact.hpp: what this transaction has on the board (shared/load_cache.hpp), and its end.
 *
 * Whoever changes an assignment says so here. It counts from then on, for everybody, until the (sub)transaction is
 * rolled back. Without a board all of this does nothing.
 */
#pragma once

#include "shared/load_cache.hpp"
#include "shared/load_cache_baseline.hpp"

namespace gxy
{

/* A server has got a room. */
void note_room(std::string_view server, Burden burden);

/* It has lost rooms. inserter: of the row, if it may have been this transaction; then nobody ever needs to count it. */
void note_loss(std::string_view server, Burden burden,
			   TransactionId inserter = InvalidTransactionId);

/* A room that may have live sessions has lost its assignment. */
void note_lost_room(std::string_view room);

/* The table has been emptied as a whole. */
void note_truncation();

/* Whether this transaction has emptied the table: then the board, which is everybody's, tells it nothing. */
bool has_truncated();

/* reserve_on_board(), and take_back_reservation() when the room was somebody else's after all. */
Reserved reserve(Board *board, ReserveRequest request, Server *servers, const int *places,
				 int count, Decision *decision);
void take_back_reservation();

/* begin_count() and what ends it; a count that is cut off by an error is abandoned. */
BoardCount start_count(Board *board, Basis basis, std::int64_t max_age);
bool finish_count(Board *board, Basis basis, const CountResult &result);
void give_up_count(Board *board);

} // namespace gxy

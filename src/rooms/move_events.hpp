/*
 * move_events.hpp: tells listeners which rooms have moved, and where to.
 */
#pragma once

#include "pg/array.hpp"
#include "pg/lock_timeout.hpp"

namespace gxy
{

/* Why rooms are moved: in the rows' reasons and in the notifications. */
inline constexpr const char *why_failover = "failover";
inline constexpr const char *why_evacuated = "evacuated";
inline constexpr const char *why_moved = "moved";
inline constexpr const char *why_rebalanced = "rebalanced";

/* A room that this transaction has moved. */
struct RoomMove
{
	std::string_view room;
	std::string_view from;
	std::string_view to;
};

/*
 * Sends the notifications "rooms_moved" of these rooms, sorted in place. Each names one server, one
 * target and as many rooms as its payload has space for. For moves by operators and by the worker.
 */
void announce_moves(Array<RoomMove> moves, const char *why, Deadline deadline);

/*
 * For moves by calls, which send no notification. The caller calls may_leave_to_worker(), which
 * waits for no lock, before the move, and leave_to_worker() after it. The worker calls
 * announce_moves_on_call(), which sends the notifications of at most limit rooms and returns
 * whether there are more.
 */
bool may_leave_to_worker();
void leave_to_worker(const RoomMove &move, Deadline deadline);
bool announce_moves_on_call(int limit, Deadline deadline);

} // namespace gxy

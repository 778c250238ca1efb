/*
 * causes.hpp: whether anything in the history can have ended an assignment in a given time.
 *
 * A release, a DELETE, or an upsert of another server can, if its transaction may have committed then. So can the failure
 * of the server, once its delay is over: the room is on another then. A cleanup can
 * only if the room may have been idle for it: no session was certainly live all through its call, and no answer or
 * touch was so recent that the lease must have been younger than the cleanup's grace.
 *
 * How young: a call renews a lease only if it is older than touch_interval or a third of the grace (half of it for a
 * SERIALIZABLE caller), so an answer vouches for that much less. Nor can it renew a row that another transaction has in
 * hand: if that one then committed, its own renewal is at least as young as its beginning; if not, nothing is known. A
 * cleanup that is just deleting the row is no such excuse to the caller: he has to wait for it once the lease has run
 * out, unless its grace overrides leases by being below the setting.
 */
#pragma once

#include "world.hpp"

#include <optional>

namespace stress
{

/* Cleanups that were there at the time, and what kept each from freeing the room. */
struct Alibi
{
	std::string what;
	std::vector<const Record *> lines;
};

/*
 * Whether the assignment that `before` saw may have ended, or been given another server, in the window. hard: only its
 * end will do. alibi: may be nullptr.
 */
bool may_have_ended(const World &world, const Room &room, const Observation &before, Span window,
					bool hard, Alibi *alibi);

/*
 * The earliest time from which the lease may date after an answer; nothing if others may have kept it from being
 * renewed. exempt: the step of a cleanup whose own hold on the row is no excuse, or -1.
 */
std::optional<Micros> leased_since(const World &world, const Room &room, const Observation &seen,
								   int exempt);

/* Whether the room certainly had an assignment, with a lease that had not run out, all through the time. */
bool certainly_leased(const World &world, const Room &room, Span time,
					  std::vector<const Record *> *proof);

/* The longest part of the time in which no other transaction can have had the room's row in hand. */
Micros longest_time_alone(const World &world, const Room &room, int transaction, Span time);

} // namespace stress

/*
 * causes.hpp: whether an event in the history can have ended an assignment in a given time.
 *
 * A release, a DELETE, or an upsert of another server can, if its transaction may have committed
 * then. So can the failure of the server, once its delay is over: the room is then on another
 * server. A cleanup can only if the room may have been idle for it: no session was certainly live
 * during its whole call, and no answer or touch was so recent that the lease must have been younger
 * than the cleanup's grace.
 *
 * The age of the lease: a call renews a lease only if it is older than touch_interval or a third of
 * the grace (half of it for a SERIALIZABLE caller), so after an answer the lease may be that much
 * older. A call cannot renew a row that another transaction has locked either: if that transaction
 * then committed, its renewal is at least as young as its beginning; if not, the age is unknown. A
 * cleanup that is deleting the row does not count as such a lock: the caller has to wait for it
 * once the lease has expired, unless the cleanup's grace is smaller than the setting.
 *
 * Example: with a grace of 600 ms a lease is renewed at 200 ms; an answer proves that the lease
 * lives for another 400 ms.
 */
#pragma once

#include "world.hpp"

#include <optional>

namespace stress
{

/* Cleanups in the time, and what prevented each from freeing the room. */
struct Alibi
{
	std::string what;
	std::vector<const Record *> lines;
};

/*
 * Whether the assignment that `before` saw may have ended, or been given another server, in the
 * window. hard: only an end counts. alibi: may be nullptr.
 */
bool may_have_ended(const World &world, const Room &room, const Observation &before, Span window,
					bool hard, Alibi *alibi);

/*
 * The earliest time from which the lease may date after an answer; nothing if other transactions
 * may have prevented its renewal. exempt: the step of a cleanup whose own lock on the row does not
 * count, or -1.
 */
std::optional<Micros> leased_since(const World &world, const Room &room, const Observation &seen,
								   int exempt);

/*
 * Whether the room certainly had an assignment, with a lease that had not expired, during the whole
 * time.
 */
bool certainly_leased(const World &world, const Room &room, Span time,
					  std::vector<const Record *> *proof);

/* The longest part of the time in which no other transaction can have locked the room's row. */
Micros longest_time_alone(const World &world, const Room &room, int transaction, Span time);

} // namespace stress

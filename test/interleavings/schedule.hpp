/*
 * schedule.hpp: which session goes on next, when some of them are blocked.
 *
 * As in isolationtester, a session whose statement waits for a lock keeps it; the others go on, and
 * the statement is completed when the lock is granted. An order that asks the next statement of a
 * session that is still blocked, while another session could go on, cannot happen: the same
 * statements begin in another order, which is played as well. If no session can go on, time helps:
 * the server ends a deadlock, or a call gives up.
 */
#pragma once

#include "orders.hpp"

namespace interleavings
{

enum class State
{
	idle,	 /* its last statement has been answered */
	paused,	 /* its statement waits at its gate */
	blocked, /* its statement waits for another session */
	done	 /* all of its statements have been answered */
};

/* What a session's next statement is. */
enum class Kind
{
	sql,
	release, /* opens the session's gate: the statement that is paused there goes on */
	none	 /* it has none left */
};

struct Actor
{
	State state = State::idle;
	Kind next = Kind::none;
};

enum class Action
{
	go_on,		/* the session begins its next statement */
	wait,		/* no session can go on before a blocked one has been answered */
	impossible, /* the order cannot happen */
	finished	/* no statement is left to begin */
};

struct Step
{
	Action action;
	int session = -1;
	std::size_t place = 0; /* in the order, of the session that goes on */
};

bool can_go_on(const Actor &actor);

/*
 * Returns what to do next. rest: the places of the order that are left. Only its first place may
 * go on (strict), or the first place whose session can (otherwise).
 */
Step choose(const Order &rest, const std::vector<Actor> &actors, bool strict);

/*
 * blockers[i]: the sessions that session i waits for. Returns whether sessions wait for each other,
 * so that only the deadlock detector ends it.
 */
bool has_cycle(const std::vector<std::vector<int>> &blockers);

} // namespace interleavings

/*
 * scenario.hpp: a scenario, and how its file is read.
 *
 *     # Lines of comment.
 *     guarantee "G1: all callers of a room get the same server"
 *     setting gxy_balancer.load_max_age = '0'    # in each session
 *     setup { SQL }                               # once in a database; :database is its name
 *     reset { a statement }                       # before each order; several are allowed
 *     session alice                               # up to three of four statements
 *     	call { SELECT get_or_assign_server(1) }    never waits, may fail 40P01 42704
 *     	go on                                  # its statement that waits at its gate goes on
 *     check "title" { SELECT ... FROM answers }   # after each order; a row is a violation
 *
 * A statement that fails is a violation unless its errors are listed; so is one that waits for a
 * lock although it never waits. A session that has "go on" stops at its gate: where it calls
 * pause_here(), or where the library has the pause that gxy_balancer.debug_stop names.
 * "give up" (an entry): a statement that waits is given the time to give up, at most 20 s.
 * "needs pauses" (an entry): only for a library that is built with the debug pauses.
 *
 * A check reads the answers: answers(session, step, sent, ended, waited, answer, error). sent and
 * ended are numbers of events: a statement with a greater "sent" than another's "ended" began
 * after that had been answered. The "go on" of a session NAME is the step NAME_goes_on.
 */
#pragma once

#include "orders.hpp"
#include "schedule.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace interleavings
{

struct Statement
{
	std::string name; /* unique in the scenario */
	Kind kind = Kind::sql;
	std::string sql;
	bool never_waits = false;
	std::vector<std::string> errors; /* SQLSTATEs it may fail with */
};

struct SessionScript
{
	std::string name;
	std::vector<Statement> statements;

	bool has_gate() const;
};

struct Check
{
	std::string title;
	std::string sql;
};

struct Scenario
{
	std::string name;
	std::string guarantee;
	std::vector<std::string> settings; /* "NAME = VALUE" */
	std::vector<std::string> setup;
	std::vector<std::string> resets;
	std::vector<SessionScript> sessions;
	std::vector<Check> checks;
	bool gives_up = false;
	bool needs_pauses = false; /* the library has to be built with the debug pauses */

	Counts counts() const;
	bool has_gates() const;
	bool prepares() const; /* a statement is PREPARE TRANSACTION */
};

/* Returns nothing, and sets *error, if the text has a mistake. */
std::optional<Scenario> parse_scenario(std::string_view name, std::string_view text,
									   std::string *error);

} // namespace interleavings

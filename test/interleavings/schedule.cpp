/*
 * schedule.cpp: chooses the session that goes on next, and finds deadlocks.
 */
#include "schedule.hpp"

#include <algorithm>

namespace interleavings
{
namespace
{

/* Whether a session on the way to this one, or this one, is reached again from here. */
bool
leads_back(const std::vector<std::vector<int>> &blockers, int session, std::vector<int> *way)
{
	if (std::find(way->begin(), way->end(), session) != way->end())
		return true;
	way->push_back(session);

	const std::vector<int> &next = blockers[static_cast<std::size_t>(session)];
	bool back = std::any_of(next.begin(), next.end(),
							[&](int other) { return leads_back(blockers, other, way); });

	way->pop_back();
	return back;
}

} // namespace

bool
can_go_on(const Actor &actor)
{
	if (actor.next == Kind::none)
		return false;
	return actor.state == State::idle ||
		   (actor.state == State::paused && actor.next == Kind::release);
}

Step
choose(const Order &rest, const std::vector<Actor> &actors, bool strict)
{
	if (rest.empty())
		return {.action = Action::finished};
	for (std::size_t place = 0; place < rest.size(); place++)
	{
		if (can_go_on(actors[static_cast<std::size_t>(rest[place])]))
			return {.action = strict && place > 0 ? Action::impossible : Action::go_on,
					.session = rest[place],
					.place = place};
	}
	return {.action = Action::wait};
}

bool
has_cycle(const std::vector<std::vector<int>> &blockers)
{
	std::vector<int> way;

	for (int session = 0; session < static_cast<int>(blockers.size()); session++)
		if (leads_back(blockers, session, &way))
			return true;
	return false;
}

} // namespace interleavings

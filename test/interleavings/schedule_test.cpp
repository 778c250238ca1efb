/*
 * schedule_test.cpp: which session goes on, and which orders cannot happen.
 */
#include "schedule.hpp"

#include <gtest/gtest.h>

namespace interleavings
{
namespace
{

constexpr Actor ready = {State::idle, Kind::sql};
constexpr Actor blocked = {State::blocked, Kind::sql};
constexpr Actor finished = {State::done, Kind::none};
constexpr Actor waiting_to_the_end = {State::blocked, Kind::none};
constexpr Actor at_gate = {State::paused, Kind::release};
constexpr Actor past_gate = {State::idle, Kind::release};

struct Case
{
	const char *title;
	Order rest;
	std::vector<Actor> actors;
	Action strict;
	Action loose;
	int session; /* that goes on, if one does */
};

const Case cases[] = {
	{"the order says it", {1, 0}, {ready, ready}, Action::go_on, Action::go_on, 1},
	{"nothing is left", {}, {finished, waiting_to_the_end}, Action::finished, Action::finished, -1},
	{"blocked, and another could", {0, 1}, {blocked, ready}, Action::impossible, Action::go_on, 1},
	{"blocked, and no other could", {0, 1}, {blocked, blocked}, Action::wait, Action::wait, -1},
	{"no other has statements", {0, 0}, {blocked, finished}, Action::wait, Action::wait, -1},
	{"its gate is opened", {0, 1}, {at_gate, ready}, Action::go_on, Action::go_on, 0},
	{"it did not stop", {0, 1}, {past_gate, ready}, Action::go_on, Action::go_on, 0},
	{"another's gate can be opened",
	 {1, 0},
	 {at_gate, blocked},
	 Action::impossible,
	 Action::go_on,
	 0},
	{"it waits at no gate",
	 {0, 1},
	 {{State::blocked, Kind::release}, ready},
	 Action::impossible,
	 Action::go_on,
	 1},
	{"paused, but not released next",
	 {0, 1},
	 {{State::paused, Kind::sql}, ready},
	 Action::impossible,
	 Action::go_on,
	 1},
};

TEST(Schedule, ChoosesWhoGoesOn)
{
	for (const Case &one : cases)
	{
		Step strict = choose(one.rest, one.actors, true);
		Step loose = choose(one.rest, one.actors, false);

		EXPECT_EQ(strict.action, one.strict) << one.title;
		EXPECT_EQ(loose.action, one.loose) << one.title;
		if (loose.action == Action::go_on)
		{
			EXPECT_EQ(loose.session, one.session) << one.title;
			EXPECT_EQ(one.rest[loose.place], one.session) << one.title;
		}
	}
}

TEST(Schedule, FindsDeadlocks)
{
	EXPECT_FALSE(has_cycle({{}, {}, {}}));
	EXPECT_FALSE(has_cycle({{1}, {2}, {}}));
	EXPECT_FALSE(has_cycle({{1, 2}, {2}, {}}));
	EXPECT_TRUE(has_cycle({{1}, {0}, {}}));
	EXPECT_TRUE(has_cycle({{1}, {2}, {0}}));
	EXPECT_TRUE(has_cycle({{}, {2}, {1}}));
	EXPECT_TRUE(has_cycle({{1}, {2}, {1}}));
}

} // namespace
} // namespace interleavings

/* The load that one room adds. */
#include <gtest/gtest.h>

#include "policy_support.hpp"

namespace gxy
{

namespace
{

constexpr std::int64_t second = 1'000'000;

struct Case
{
	const char *rule;
	RoomUse room;
	std::int64_t load;
};

void
check(std::int64_t join_window, std::initializer_list<Case> cases)
{
	for (const Case &item : cases)
		EXPECT_EQ(room_load(item.room, {.join_window = join_window}), item.load) << item.rule;
}

TEST(RoomLoad, WithinTheJoinWindowThoseMissingCountByTheShareThatIsMissing)
{
	check(
		30 * second,
		{
			{"just assigned, no one in it yet",
			 {.active = 0, .active_known = true, .expected = 10, .age = 0},
			 10},
			{"filling: 6 of 10 missing, of them six tenths count",
			 {.active = 4, .active_known = true, .expected = 10, .age = 20 * second},
			 8},
			{"half full",
			 {.active = 50, .active_known = true, .expected = 100, .age = 20 * second},
			 75},
			{"all but full",
			 {.active = 9, .active_known = true, .expected = 10, .age = 20 * second},
			 9},
			{"half a user is one",
			 {.active = 1, .active_known = true, .expected = 2, .age = 20 * second},
			 2},
			{"full", {.active = 10, .active_known = true, .expected = 10, .age = 20 * second}, 10},
			{"more than 64 bits hold",
			 {.active = 0, .active_known = true, .expected = std::int64_t{1} << 61, .age = 0},
			 std::int64_t{1} << 61},
			{"fuller than expected",
			 {.active = 25, .active_known = true, .expected = 10, .age = 20 * second},
			 25},
			{"the last moment of the window",
			 {.active = 4, .active_known = true, .expected = 10, .age = 30 * second - 1},
			 8},
		});
}

TEST(RoomLoad, WhereServersAreFilledInOrderThoseMissingCountInFull)
{
	const Rules rules = {.strategy = Strategy::sequential, .join_window = 30 * second};
	const RoomUse young = {
		.active = 4, .active_known = true, .expected = 10, .age = 30 * second - 1};
	const RoomUse old = {.active = 4, .active_known = true, .expected = 10, .age = 30 * second};

	EXPECT_EQ(room_load(young, rules), 10);
	EXPECT_EQ(room_load(old, rules), 4);
}

TEST(RoomLoad, AfterTheJoinWindowARoomCountsOnlyThoseInIt)
{
	check(30 * second,
		  {
			  {"the window has just ended",
			   {.active = 4, .active_known = true, .expected = 10, .age = 30 * second},
			   4},
			  {"long ago, empty",
			   {.active = 0, .active_known = true, .expected = 10, .age = 9000 * second},
			   0},
			  {"a lease alone does not stand for users who can be counted",
			   {.active = 4,
				.active_known = true,
				.expected = 10,
				.age = 9000 * second,
				.leased = true},
			   4},
		  });
}

TEST(RoomLoad, APinnedSizeCountsAtEveryAge)
{
	check(30 * second, {
						   {"users known, few",
							{.active = 4,
							 .active_known = true,
							 .expected = 200,
							 .age = 9000 * second,
							 .pinned_size = true},
							200},
						   {"users known, many",
							{.active = 300,
							 .active_known = true,
							 .expected = 200,
							 .age = 9000 * second,
							 .pinned_size = true},
							300},
						   {"users unknown, lease over",
							{.expected = 200, .age = 9000 * second, .pinned_size = true},
							200},
					   });
}

TEST(RoomLoad, WithUsersUnknownARoomCountsThoseExpectedForAsLongAsItsLeaseLives)
{
	check(30 * second,
		  {
			  {"leased, young", {.expected = 10, .age = 0, .leased = true}, 10},
			  {"leased, old", {.expected = 10, .age = 9000 * second, .leased = true}, 10},
			  {"lease over, old", {.expected = 10, .age = 9000 * second}, 0},
			  {"lease over, young", {.expected = 10, .age = 0}, 0},
		  });
}

TEST(RoomLoad, WithUsersUnknownTheNumberOfUsersIsNotLookedAt)
{
	check(30 * second, {
						   {"leased", {.active = 99, .expected = 10, .leased = true}, 10},
						   {"lease over", {.active = 99, .expected = 10}, 0},
					   });
}

TEST(RoomLoad, AWindowOfZeroNeverCountsThoseExpectedNotEvenWhenTheClockWasSetBack)
{
	check(0,
		  {
			  {"just assigned", {.active = 4, .active_known = true, .expected = 10, .age = 0}, 4},
			  {"assigned in the future",
			   {.active = 4, .active_known = true, .expected = 10, .age = -5 * second},
			   4},
		  });
}

TEST(RoomLoad, ARoomAssignedInTheFutureIsAsIfJustAssigned)
{
	check(30 * second, {{"a clock set back an hour",
						 {.active = 4, .active_known = true, .expected = 10, .age = -3600 * second},
						 8}});
}

TEST(RoomLoad, IsNeverNegative)
{
	check(30 * second,
		  {
			  {"known", {.active = -3, .active_known = true, .expected = -7, .age = 0}, 0},
			  {"known, old",
			   {.active = -3, .active_known = true, .expected = -7, .age = 9000 * second},
			   0},
			  {"unknown", {.expected = -7, .leased = true}, 0},
			  {"pinned", {.expected = -7, .pinned_size = true}, 0},
		  });
}

} // namespace

} // namespace gxy

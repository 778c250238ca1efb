/* The expected size of a room, learned from the users seen in it. */
#include <gtest/gtest.h>

#include "policy/room_size_model.hpp"

namespace gxy
{

namespace
{

constexpr std::int64_t minute = 60'000'000;
constexpr std::int64_t day = 24 * 60 * minute;
constexpr SizeModelRules plain = {.rate = 0.25, .shrinkage = 0};

/* One assignment with one sample. */
void
meet(RoomHistory *history, std::int64_t peak, std::int64_t at, const SizeModelRules &rules)
{
	observe(history, peak, at, at + minute, rules);
}

TEST(Learning, ARoomThatWasNeverSeenIsAverage)
{
	EXPECT_EQ(learned_size({}, 10), 10);
	EXPECT_EQ(learned_size({}, 0), 1);
	EXPECT_EQ(occasions_seen({}), 0);
}

TEST(Learning, OnlyANewPeakOfAnOccasionChangesTheHistory)
{
	RoomHistory history;

	EXPECT_TRUE(observe(&history, 5, 0, minute));
	EXPECT_FALSE(observe(&history, 5, 0, 2 * minute));
	EXPECT_TRUE(observe(&history, 6, 0, 3 * minute));
	EXPECT_FALSE(observe(&history, 2, 0, 4 * minute));
	EXPECT_EQ(history.peak, 6);
	EXPECT_EQ(occasions_seen(history), 1);
}

TEST(Learning, AnAssignmentThatNobodyWasSeenInIsNoOccasion)
{
	RoomHistory history;

	EXPECT_FALSE(observe(&history, 0, 0, minute));
	meet(&history, 30, day, plain);
	EXPECT_FALSE(observe(&history, 0, 2 * day, 2 * day + minute));
	EXPECT_EQ(occasions_seen(history), 1);
	EXPECT_EQ(learned_size(history, 10, plain), 30);
}

TEST(Learning, TheOpenOccasionCountsBeforeTheNextClosesIt)
{
	RoomHistory history;

	meet(&history, 10, 0, plain);
	meet(&history, 30, day, plain);
	EXPECT_EQ(history.occasions, 1);
	EXPECT_EQ(occasions_seen(history), 2);
	EXPECT_EQ(learned_size(history, 10, plain), 20);

	meet(&history, 20, 2 * day, plain);
	EXPECT_EQ(history.occasions, 2);
	EXPECT_EQ(history.size, 20);
}

TEST(Learning, AnotherAssignmentIsAnotherOccasionAsSmallAsItMayBe)
{
	RoomHistory history;

	meet(&history, 40, 0, plain);
	EXPECT_TRUE(observe(&history, 2, minute, 2 * minute, plain));
	EXPECT_EQ(learned_size(history, 10, plain), 21);
}

TEST(Learning, TheFirstPeaksWeighAlikeAndLaterTheLatestWeighsTheRate)
{
	RoomHistory history;

	for (int i = 0; i < 100; i++)
		meet(&history, 100, i * day, plain);
	EXPECT_EQ(learned_size(history, 10, plain), 100);
	meet(&history, 20, 100 * day, plain);
	EXPECT_EQ(learned_size(history, 10, plain), 80);
	meet(&history, 20, 101 * day, plain);
	EXPECT_EQ(learned_size(history, 10, plain), 65);
}

TEST(Learning, FewOccasionsAreDrawnTowardsTheAverage)
{
	constexpr SizeModelRules rules = {.rate = 0.25, .shrinkage = 1};
	RoomHistory history;

	meet(&history, 40, 0, rules);
	EXPECT_EQ(learned_size(history, 10, rules), 25);
	meet(&history, 40, day, rules);
	EXPECT_EQ(learned_size(history, 10, rules), 30);
	for (int i = 2; i < 100; i++)
		meet(&history, 40, i * day, rules);
	EXPECT_EQ(learned_size(history, 10, rules), 40);
}

TEST(Learning, ARoomThatNeverEmptiesHasAnOccasionADay)
{
	RoomHistory history;

	observe(&history, 90, 0, minute, plain);
	EXPECT_FALSE(observe(&history, 10, 0, day, plain));
	EXPECT_TRUE(observe(&history, 10, 0, minute + day, plain));
	EXPECT_EQ(occasions_seen(history), 2);
	EXPECT_EQ(learned_size(history, 10, plain), 50);
}

TEST(Learning, ASizeIsAtLeastOneAndNeverNegative)
{
	EXPECT_EQ(learned_size({.size = 0.2, .occasions = 50}, 1, plain), 1);
	EXPECT_EQ(learned_size({.size = -7, .occasions = 50}, 1, plain), 1);
	EXPECT_EQ(learned_size({.size = 5, .occasions = -3}, 10, plain), 10);
}

} // namespace

} // namespace gxy

/* RegionList: a list of regions as callers and the attached rooms write it. */
#include "policy/region_list.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace gxy
{

namespace
{

std::vector<std::string>
names_of(const RegionList &list, std::int64_t count)
{
	std::vector<std::string> names;

	for (std::int64_t rank = 0; rank < count; rank++)
		names.emplace_back(list[rank]);
	return names;
}

TEST(RegionList, KeepsTheOrderAndIgnoresBlanksAndEmptyElements)
{
	const std::vector<std::string> both = {"IL", "New York"};

	for (const char *text : {"IL,New York", " IL ,\tNew York\n", ",,IL, ,New York,"})
		EXPECT_EQ(names_of(RegionList(text), 2), both) << text;
}

TEST(RegionList, WithoutANameIsEmpty)
{
	for (const char *text : {"", " ", ",", " , ,"})
		EXPECT_TRUE(RegionList(text).empty()) << text;
	EXPECT_FALSE(RegionList(" ,x").empty());
}

TEST(RegionList, RanksARegionByItsFirstPlace)
{
	const RegionList list("IL, EU, IL");

	EXPECT_EQ(list.rank_of("IL"), 0);
	EXPECT_EQ(list.rank_of("EU"), 1);
	EXPECT_EQ(list.rank_of("il"), -1);
	EXPECT_EQ(list.rank_of("I"), -1);
	EXPECT_EQ(RegionList("").rank_of(""), -1);
}

TEST(RegionList, HoldsAsManyAsTheLongestListHas)
{
	std::string text;

	for (int i = 0; i < 127; i++)
		text += "x,";
	EXPECT_EQ(RegionList(text + "y").rank_of("y"), 127);
	EXPECT_EQ(RegionList(text + "x,x,x,z").rank_of("z"), -1) << "longer ones are cut";
}

} // namespace

} // namespace gxy

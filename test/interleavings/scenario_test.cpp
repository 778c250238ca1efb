/*
 * scenario_test.cpp: the files of scenarios.
 */
#include "scenario.hpp"

#include <gtest/gtest.h>

namespace interleavings
{
namespace
{

const std::string whole = R"(
# A comment with { and ".
guarantee "G1: something"
setting a.b = '0'   # why
setup { INSERT INTO t VALUES ('{1,2}') }
reset { DELETE FROM t }
reset { DELETE FROM u }
session one
	first { SELECT 1 } never waits, may fail 40P01 42704
	go on
session two
	second { COMMIT } may fail 40001
	third { PREPARE TRANSACTION 'x' } never waits
check "it holds" { SELECT 1 WHERE false }
)";

std::string
error_of(const std::string &text)
{
	std::string error;

	EXPECT_FALSE(parse_scenario("s", text, &error)) << text;
	return error;
}

std::string
without(const std::string &part)
{
	std::string text = whole;

	return text.erase(text.find(part), part.size());
}

TEST(Scenario, IsRead)
{
	std::string error;
	std::optional<Scenario> scenario = parse_scenario("s", whole, &error);

	ASSERT_TRUE(scenario) << error;
	EXPECT_EQ(scenario->name, "s");
	EXPECT_EQ(scenario->guarantee, "G1: something");
	EXPECT_EQ(scenario->settings, std::vector<std::string>({" a.b = '0'   "}));
	EXPECT_EQ(scenario->setup, std::vector<std::string>({" INSERT INTO t VALUES ('{1,2}') "}));
	EXPECT_EQ(scenario->resets.size(), 2u);
	EXPECT_EQ(scenario->counts(), Counts({2, 2}));
	ASSERT_EQ(scenario->checks.size(), 1u);
	EXPECT_EQ(scenario->checks[0].title, "it holds");
	EXPECT_TRUE(scenario->prepares());
	EXPECT_FALSE(scenario->gives_up);
}

TEST(Scenario, HasRulesForAnswers)
{
	std::string error;
	std::optional<Scenario> scenario = parse_scenario("s", whole, &error);

	ASSERT_TRUE(scenario) << error;

	const Statement &first = scenario->sessions[0].statements[0];
	const Statement &second = scenario->sessions[1].statements[0];
	const Statement &third = scenario->sessions[1].statements[1];

	EXPECT_TRUE(first.never_waits);
	EXPECT_EQ(first.errors, std::vector<std::string>({"40P01", "42704"}));
	EXPECT_FALSE(second.never_waits);
	EXPECT_EQ(second.errors, std::vector<std::string>({"40001"}));
	EXPECT_TRUE(third.never_waits);
	EXPECT_TRUE(third.errors.empty());
}

TEST(Scenario, HasGates)
{
	std::string error;
	std::optional<Scenario> scenario = parse_scenario("s", whole, &error);

	ASSERT_TRUE(scenario) << error;
	EXPECT_EQ(scenario->sessions[0].statements[1].kind, Kind::release);
	EXPECT_TRUE(scenario->sessions[0].has_gate());
	EXPECT_FALSE(scenario->sessions[1].has_gate());
	EXPECT_TRUE(scenario->has_gates());
}

TEST(Scenario, IsRefusedIfSomethingIsMissing)
{
	EXPECT_NE(error_of(without("guarantee \"G1: something\"")), "");
	EXPECT_NE(error_of(without("check \"it holds\" { SELECT 1 WHERE false }")), "");
	EXPECT_NE(error_of(without("session one")), "");
	EXPECT_EQ(error_of("guarantee \"x\" session one check \"y\" { z }"),
			  "line 1: session one has no statement");
}

TEST(Scenario, IsRefusedWithTheLineOfTheMistake)
{
	EXPECT_EQ(error_of("guarantee \"x\"\nsession one\n\tstep SELECT"), "line 3: { is missing");
	EXPECT_EQ(error_of("guarantee \"x\"\nsession one\n\tstep { SELECT"), "line 3: } is missing");
	EXPECT_EQ(error_of("guarantee x"), "line 1: a text in \" is missing");
	EXPECT_EQ(error_of("what { x }"), "line 1: \"what\" is no entry");
	EXPECT_EQ(error_of("session one step { x } may fail soon"),
			  "line 1: \"may fail\" without an SQLSTATE");
	EXPECT_NE(error_of(whole + "session three first { SELECT }"), "");
}

} // namespace
} // namespace interleavings

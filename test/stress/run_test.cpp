/*
 * run_test.cpp: errors, waits, placements, spread and totals; and the format of a history.
 */
#include "judge_support.hpp"

#include <gtest/gtest.h>

#include <sstream>

namespace stress
{
namespace
{

const std::string errors = "errors are those";
const std::string lost = "connections are lost";
const std::string too_long = "no call lasts";
const std::string no_cause = "no call waits";
const std::string placed = "new rooms go";
const std::string spread = "new rooms of equal";
const std::string totals = "balancer_load agrees";
const std::string released = "1 - release 7 level=rc =t 800000 800001";
const std::string pool = "0 - setting - name=servers,value=a_b = 0 0";

/* A call that starts at 10, and the outcome of a later one. */
Case
after_an_answer(const char *name, const std::string &line, const std::string &broken)
{
	return {name, {"1 - assign 7 level=rc =a 10 11", line, released}, broken};
}

const Case cases[] = {
	after_an_answer("a sticky call fails", "2 - assign 7 level=rc !40001 20 21", errors),
	after_an_answer("a sticky call is refused by SSI", "2 - assign 7 level=ser !40001 20 21", ""),
	after_an_answer("an unheard-of error", "2 - touch 7 level=ser !XX000 20 21", errors),
	after_an_answer("REPEATABLE READ is no excuse", "2 - touch 7 level=rr !40001 20 21", errors),
	after_an_answer("but for the application's own", "2 - delete 7 level=rr !40001 20 21", ""),
	after_an_answer("a timeout on a fresh lease", "2 - assign 7 level=rc !55P03 20 5021", errors),
	after_an_answer("a server that has rooms", "2 - server - name=a,change=drop !55006 20 21", ""),
	{"a timeout with a cause",
	 {"1 1.1 begin - level=rc = 10 10", "1 1.1 assign 7 - =a 10 11",
	  "2 - assign 7 level=rc !55P03 20 5021", "1 1.1 commit - - = 6000 6001", released},
	 ""},
	{"a timeout before its time",
	 {"1 1.1 begin - level=rc = 10 10", "1 1.1 assign 7 - =a 10 11",
	  "2 - assign 7 level=rc !55P03 20 4021", "1 1.1 commit - - = 6000 6001", released},
	 errors},
	{"a timeout after the cause had gone",
	 {"1 1.1 begin - level=rc = 10 10", "1 1.1 assign 7 - =a 10 11", "1 1.1 rollback - - = 12 13",
	  "2 - assign 7 level=rc !55P03 20 5021"},
	 errors},
	{"a deadlock among the sorted",
	 {"1 1.1 begin - level=rc,order=sorted = 10 10", "1 1.1 assign 7 - !40P01 10 11",
	  "1 1.1 rollback - - = 12 13"},
	 errors},
	{"a deadlock with one who is not",
	 {"1 1.1 begin - level=rc,order=sorted = 10 10", "2 2.1 begin - level=rc,order=any = 10 10",
	  "1 1.1 assign 7 - !40P01 10 11", "1 1.1 rollback - - = 12 13", "2 2.1 rollback - - = 12 13"},
	 ""},
	{"lost by a kill", {"2 - kill - client=1 =t 5 6", "1 - touch 7 level=rc ? 10 11"}, ""},
	{"lost by itself", {"2 - kill - client=3 =t 5 6", "1 - touch 7 level=rc ? 10 11"}, lost},
	{"it took for ever",
	 {"1 1.1 begin - level=rc = 10 10", "1 1.1 assign 7 - =a 10 11",
	  "2 - assign 7 level=rc =a 20 9021", "1 1.1 commit - - = 9000 9001", released},
	 too_long},
	{"it took long, without another transaction",
	 {"2 - assign 7 level=rc =a 20 4021", released},
	 no_cause},
	{"a new room on a server that drains",
	 {pool, "1 - server - level=rc,name=a_b,change=online =1 1 2",
	  "1 - server - level=rc,name=a,change=add =1 1 2",
	  "1 - server - level=rc,name=a,change=draining =1 3 4", "2 - assign 7 level=rc =a 5 6",
	  released},
	 placed},
	{"a new room on a server that is just to drain",
	 {pool, "1 - server - level=rc,name=a,change=add =1 1 2",
	  "1 - server - level=rc,name=a,change=draining =1 3 6", "2 - assign 7 level=rc =a 4 5",
	  released},
	 ""},
	{"loads that agree",
	 {"0 - load - server=a,source=view =1/2/3 9 9", "0 - load - server=a,source=sql =1/2/3 9 9"},
	 ""},
	{"loads that differ",
	 {"0 - load - server=a,source=view =1/2/4 9 9", "0 - load - server=a,source=sql =1/2/3 9 9"},
	 totals},
	{"a load that is missing", {"0 - load - server=a,source=view =1/2/3 9 9"}, totals},
};

class Runs : public testing::TestWithParam<Case>
{
};

TEST_P(Runs, AreJudged)
{
	judge(GetParam());
}

INSTANTIATE_TEST_SUITE_P(Cases, Runs, testing::ValuesIn(cases),
						 [](const auto &one) { return name_of_case(one.param); });

/*
 * Three new rooms on two servers. The value of a setting may contain spaces; those in the other
 * lines stand for tabs.
 */
std::string
judgement_of_spread(const std::string &third)
{
	std::vector<Record> records =
		records_of({pool, "0 - phase - name=spread_alone = 10 20", "1 - assign 1 level=rc =a 11 12",
					"1 - assign 2 level=rc =b 13 14", "1 - assign 3 level=rc =" + third + " 15 16",
					"1 - assign 4 level=rc =a 17 18"});

	for (Record &record : records)
		if (record.operation == Operation::setting)
			std::replace(record.arguments.begin(), record.arguments.end(), '_', ' ');

	const Story story = tell(std::move(records));
	Verdict verdict;
	Check *own = verdict.begin("");

	check_spread(sort_by_room(story, own), &verdict);
	return verdict.violations() > 0 ? "uneven" : "even";
}

TEST(Spread, IsEvenWithinOneRoom)
{
	EXPECT_EQ(judgement_of_spread("b"), "even");
	EXPECT_EQ(judgement_of_spread("a"), "uneven");
}

TEST(Verdict, OfNothingIsASkip)
{
	Verdict verdict;
	std::ostringstream out;

	verdict.begin("one")->looked();
	verdict.begin("two");
	verdict.begin("three")->found("found", {});
	verdict.print(out);
	EXPECT_EQ(out.str(), "ok - one: 1 examined, 0 violations\n"
						 "ok - two: # skip nothing to examine\n"
						 "not ok - three: 0 examined, 1 violations, the first after 0 operations\n"
						 "    found\n");
}

TEST(History, WithoutAnEndIsNotBelieved)
{
	EXPECT_EQ(broken_by({}).substr(0, totals.size()), totals);
}

TEST(History, ReadsWhatItWrites)
{
	const Record record = {.client = 3,
						   .operation = Operation::upsert,
						   .outcome = Outcome::failed,
						   .transaction = "3.17",
						   .room = "2171",
						   .arguments = "level=rr,server=gxy1",
						   .answer = "40001",
						   .start = 12,
						   .end = 34};
	Record again;

	EXPECT_EQ(parse(format(record), &again), "");
	EXPECT_EQ(format(again), format(record));
	EXPECT_EQ(again.argument("server"), "gxy1");
	EXPECT_EQ(again.argument("serve"), "");
}

TEST(History, RefusesWhatIsNone)
{
	Record record;

	for (const char *line : {"", "1\t-\tassign\t7\t-\t=a\t1", "1\t-\tassigned\t7\t-\t=a\t1\t2",
							 "1\t-\tassign\t7\t-\ta\t1\t2", "1\t-\tassign\t7\t-\t!4\t1\t2",
							 "1\t-\tassign\t7\t-\t=a\t2\t1", "x\t-\tassign\t7\t-\t=a\t1\t2"})
		EXPECT_NE(parse(line, &record), "") << line;
}

} // namespace
} // namespace stress

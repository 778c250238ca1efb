/*
 * answers_test.cpp: one server a room; what may and what may not explain another.
 *
 * The read at the end finds no assignment, so cases that leave one end with a release that nobody else can see.
 */
#include "judge_support.hpp"

#include <gtest/gtest.h>

namespace stress
{
namespace
{

const std::string two = "one server a room";
const std::string gone = "no assignment ends";
const std::string from_nowhere = "no assignment without";
const std::string own = "a transaction sees";
const std::string released = "1 - release 7 level=rc =t 800000 800001";

const Case cases[] = {
	{"the same server for all",
	 {"1 - assign 7 level=rc =a 10 11", "2 - assign 7 level=rc =a 10 12",
	  "2 - touch 7 level=rc =t 13 14", released},
	 ""},
	{"two servers one after the other",
	 {"1 - assign 7 level=rc =a 10 11", "2 - assign 7 level=rc =b 12 13", released},
	 two},
	{"two servers at the same time",
	 {"1 - assign 7 level=rc =a 10 13", "2 - assign 7 level=rc =b 11 12", released},
	 two},
	{"a release in between",
	 {"1 - assign 7 level=rc =a 10 11", "1 - release 7 level=rc =t 12 13",
	  "2 - assign 7 level=rc =b 14 15", released},
	 ""},
	{"a release that had nothing to free",
	 {"1 - assign 7 level=rc =a 10 11", "1 - release 7 level=rc =f 12 13",
	  "2 - assign 7 level=rc =b 14 15", released},
	 gone},
	{"a release that was rolled back",
	 {"1 - assign 7 level=rc =a 10 11", "1 1.1 begin - level=rc = 12 12",
	  "1 1.1 release 7 - =t 12 13", "1 1.1 rollback - - = 13 14", "2 - assign 7 level=rc =b 14 15",
	  released},
	 two},
	{"a release undone by a savepoint",
	 {"1 - assign 7 level=rc =a 10 11", "1 1.1 begin - level=rc = 12 12",
	  "1 1.1 savepoint - name=s = 12 12", "1 1.1 release 7 - =t 12 13",
	  "1 1.1 rollback_to - name=s = 13 13", "1 1.1 commit - - = 13 14",
	  "2 - assign 7 level=rc =b 14 15", released},
	 two},
	{"a release that commits only later",
	 {"1 - assign 7 level=rc =a 10 11", "1 1.1 begin - level=rc = 12 12",
	  "1 1.1 release 7 - =t 12 13", "2 - assign 7 level=rc =b 14 15", "1 1.1 commit - - = 20 21",
	  released},
	 two},
	{"the old server while a release is open",
	 {"1 - assign 7 level=rc =a 10 11", "1 1.1 begin - level=rc = 12 12",
	  "1 1.1 release 7 - =t 12 13", "2 - assign 7 level=rc =a 14 15", "1 1.1 commit - - = 20 21",
	  "2 - assign 7 level=rc =b 22 23", released},
	 ""},
	{"a release whose answer was lost",
	 {"1 - assign 7 level=rc =a 10 11", "9 - kill - client=1 =t 11 13",
	  "1 - release 7 level=rc ? 12 13", "2 - assign 7 level=rc =b 14 15", released},
	 ""},
	{"an upsert in between",
	 {"1 - assign 7 level=rc =a 10 11", "1 - upsert 7 level=rc,server=b =1 12 13",
	  "2 - assign 7 level=rc =b 14 15", released},
	 ""},
	{"another server than was put",
	 {"1 - upsert 7 level=rc,server=a =1 12 13", "2 - assign 7 level=rc =b 14 15", released},
	 two},
	{"told to a transaction that is still open",
	 {"1 1.1 begin - level=rc = 10 10", "1 1.1 assign 7 - =a 10 11",
	  "2 - assign 7 level=rc =b 12 13", "1 1.1 commit - - = 20 21", released},
	 two},
	{"told to an open transaction that rolls back later",
	 {"1 1.1 begin - level=rc = 10 10", "1 1.1 assign 7 - =a 10 11",
	  "2 - assign 7 level=rc =b 12 13", "1 1.1 rollback - - = 20 21", released},
	 two},
	{"told to a transaction that was rolled back",
	 {"1 1.1 begin - level=rc = 10 10", "1 1.1 assign 7 - =a 10 11", "1 1.1 rollback - - = 12 13",
	  "2 - assign 7 level=rc =b 12 13", released},
	 ""},
	{"told before a savepoint was rolled back",
	 {"1 1.1 begin - level=rc = 10 10", "1 1.1 savepoint - name=s = 10 10",
	  "1 1.1 assign 7 - =a 10 11", "1 1.1 rollback_to - name=s = 12 13",
	  "2 - assign 7 level=rc =b 14 15", "1 1.1 commit - - = 20 21", released},
	 ""},
	{"told in a transaction that was killed",
	 {"1 1.1 begin - level=rc = 10 10", "1 1.1 assign 7 - =a 10 11", "9 - kill - client=1 =t 11 12",
	  "1 1.1 touch 8 - ? 14 15", "2 - assign 7 level=rc =b 12 13", released},
	 ""},
	{"two servers in one transaction",
	 {"1 1.1 begin - level=rc = 10 10", "1 1.1 assign 7 - =a 10 11", "1 1.1 assign 7 - =b 12 13",
	  "1 1.1 commit - - = 14 15", released},
	 two},
	{"a stale answer at REPEATABLE READ",
	 {"1 - assign 7 level=rc =a 10 11", "2 2.1 begin - level=rr = 12 12",
	  "2 2.1 assign 7 - =a 12 13", "1 - release 7 level=rc =t 14 15",
	  "3 - assign 7 level=rc =b 16 17", "2 2.1 assign 7 - =a 18 19", "2 2.1 commit - - = 20 21",
	  released},
	 two},
	{"a look by an old snapshot",
	 {"1 - assign 7 level=rc =a 10 11", "2 2.1 begin - level=rr = 12 12",
	  "2 2.1 look 7 - =a@5 12 13", "1 - release 7 level=rc =t 14 15",
	  "3 - assign 7 level=rc =b 16 17", "2 2.1 look 7 - =a@5 18 19", "2 2.1 commit - - = 20 21",
	  released},
	 ""},
	{"a prepared transaction that commits by another's hand",
	 {"1 - assign 7 level=rc =a 10 11", "1 1.1 begin - level=rc = 12 12",
	  "1 1.1 release 7 - =t 12 13", "1 1.1 prepare - - = 14 15", "2 - assign 7 level=rc =a 16 17",
	  "0 1.1 commit_prepared - - = 20 21", "2 - assign 7 level=rc =b 22 23", released},
	 ""},
	{"a prepared transaction that is rolled back",
	 {"1 - assign 7 level=rc =a 10 11", "1 1.1 begin - level=rc = 12 12",
	  "1 1.1 release 7 - =t 12 13", "1 1.1 prepare - - = 14 15",
	  "0 1.1 rollback_prepared - - = 20 21", "2 - assign 7 level=rc =b 22 23", released},
	 two},
	{"not touched, though assigned",
	 {"1 - assign 7 level=rc =a 10 11", "2 - touch 7 level=rc =f 12 13"},
	 gone},
	{"not touched while another transaction assigns",
	 {"1 1.1 begin - level=rc = 10 10", "1 1.1 assign 7 - =a 10 11",
	  "2 - touch 7 level=rc =f 12 13", "1 1.1 commit - - = 20 21", released},
	 ""},
	{"assigned again with nothing in between",
	 {"1 - assign 7 level=rc =a 10 11", "1 - look 7 level=rc =a@5 12 13",
	  "1 - look 7 level=rc =a@9 14 15", released},
	 gone},
	{"touched, though never assigned", {"2 - touch 7 level=rc =t 12 13", released}, from_nowhere},
	{"touched after it was seen to be free",
	 {"1 - touch 7 level=rc =f 10 11", "2 - touch 7 level=rc =t 12 13", released},
	 from_nowhere},
	{"what a rolled back transaction had assigned is read",
	 {"1 1.1 begin - level=rc = 10 10", "1 1.1 assign 7 - =a 10 11", "1 1.1 rollback - - = 12 13",
	  "2 - look 7 level=rc =a@5 14 15", released},
	 from_nowhere},
	{"left in the table", {"1 - assign 7 level=rc =a 10 11"}, gone},
	{"another row than its own",
	 {"1 1.1 begin - level=rc = 10 10", "1 1.1 upsert 7 server=a =1 10 11",
	  "1 1.1 assign 7 - =b 12 13", "1 1.1 rollback - - = 14 15"},
	 own},
	{"its own release is forgotten",
	 {"1 - assign 7 level=rc =a 8 9", "1 1.1 begin - level=rc = 10 10",
	  "1 1.1 release 7 - =t 10 11", "1 1.1 touch 7 - =t 12 13", "1 1.1 commit - - = 14 15"},
	 own},
	{"its own release is undone with its savepoint",
	 {"1 - assign 7 level=rc =a 8 9", "1 1.1 begin - level=rc = 10 10",
	  "1 1.1 savepoint - name=s = 10 10", "1 1.1 release 7 - =t 10 11",
	  "1 1.1 rollback_to - name=s = 11 11", "1 1.1 touch 7 - =t 12 13", "1 1.1 commit - - = 14 15",
	  released},
	 ""},
};

class Answers : public testing::TestWithParam<Case>
{
};

TEST_P(Answers, AreJudged)
{
	judge(GetParam());
}

INSTANTIATE_TEST_SUITE_P(Cases, Answers, testing::ValuesIn(cases),
						 [](const auto &one) { return name_of_case(one.param); });

} // namespace
} // namespace stress

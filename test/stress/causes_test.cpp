/*
 * causes_test.cpp: which cleanups may have freed a room. The grace is 600 ms; a call renews a lease
 * that is older than 200 ms, at SERIALIZABLE 300 ms. So an answer proves that the lease lives for
 * another 400 ms, or 300 ms; 5 ms are for the clocks.
 */
#include "judge_support.hpp"

#include <gtest/gtest.h>

namespace stress
{
namespace
{

const std::string idle = "cleanups free idle";
const std::string gone = "no assignment ends";

const Case cases[] = {
	{"its lease had run out",
	 {"1 - assign 7 level=rc =a 10 11", "2 - clean - level=rc =1 700 701"},
	 ""},
	{"its lease had not run out",
	 {"1 - assign 7 level=rc =a 10 11", "2 - clean - level=rc =1 400 401"},
	 idle},
	{"its lease may not have been renewed",
	 {"1 - assign 7 level=rc =a 10 11", "2 - clean - level=rc =1 420 421"},
	 ""},
	{"the same for a serializable caller",
	 {"1 - assign 7 level=ser =a 10 11", "2 - clean - level=rc =1 320 321"},
	 ""},
	{"a touch vouches too",
	 {"1 - assign 7 level=rc =a 10 11", "1 - touch 7 level=rc =t 600 601",
	  "2 - clean - level=rc =1 700 701"},
	 idle},
	{"a look does not",
	 {"1 - assign 7 level=rc =a 10 11", "1 - look 7 level=rc =a@5 600 601",
	  "2 - clean - level=rc =1 700 701"},
	 ""},
	{"a touch that was rolled back does not",
	 {"1 - assign 7 level=rc =a 10 11", "1 1.1 begin - level=rc = 599 600",
	  "1 1.1 touch 7 - =t 600 601", "1 1.1 rollback - - = 602 603",
	  "2 - clean - level=rc =1 700 701"},
	 ""},
	{"nor a call that met one that was rolled back",
	 {"1 - assign 7 level=rc =a 10 11", "1 1.1 begin - level=rc = 599 600",
	  "1 1.1 touch 7 - =t 600 601", "3 - assign 7 level=rc =a 602 603",
	  "1 1.1 rollback - - = 604 605", "2 - clean - level=rc =1 700 701"},
	 ""},
	{"but one that met one that committed",
	 {"1 - assign 7 level=rc =a 10 11", "1 1.1 begin - level=rc = 599 600",
	  "1 1.1 touch 7 - =t 600 601", "3 - assign 7 level=rc =a 602 603",
	  "1 1.1 commit - - = 604 605", "2 - clean - level=rc =1 700 701"},
	 idle},
	{"a smaller grace",
	 {"1 - assign 7 level=rc =a 10 11", "2 - clean - level=rc,grace=100 =1 150 151"},
	 ""},
	{"a larger grace",
	 {"1 - assign 7 level=rc =a 10 11", "2 - clean - level=rc,grace=2000 =1 1500 1501"},
	 idle},
	{"it freed nothing",
	 {"1 - assign 7 level=rc =a 10 11", "2 - clean - level=rc =0 700 701"},
	 gone},
	{"it was rolled back",
	 {"1 - assign 7 level=rc =a 10 11", "2 2.1 begin - level=rc = 699 699",
	  "2 2.1 clean - - =1 700 701", "2 2.1 rollback - - = 702 703"},
	 gone},
	{"it commits later",
	 {"1 - assign 7 level=rc =a 10 11", "2 2.1 begin - level=rc = 699 699",
	  "2 2.1 clean - - =1 700 701", "3 - touch 7 level=rc =f 702 703",
	  "2 2.1 commit - - = 704 705"},
	 gone},
	{"a session was live",
	 {"1 - assign 7 level=rc =a 10 11", "1 - enter 7 level=rc,session=1,server=a =1 12 13",
	  "2 - clean - level=rc =1 700 701"},
	 idle},
	{"a session had ended",
	 {"1 - assign 7 level=rc =a 10 11", "1 - enter 7 level=rc,session=1,server=a =1 12 13",
	  "1 - leave 7 level=rc,session=1 =1 650 651", "2 - clean - level=rc =1 700 701"},
	 ""},
	{"a session was just ending",
	 {"1 - assign 7 level=rc =a 10 11", "1 - enter 7 level=rc,session=1,server=a =1 12 13",
	  "2 - clean - level=rc =1 700 703", "1 - leave 7 level=rc,session=1 =1 702 704"},
	 ""},
	{"a session that was rolled back",
	 {"1 - assign 7 level=rc =a 10 11", "1 1.1 begin - level=rc = 12 12",
	  "1 1.1 enter 7 session=1,server=a =1 12 13", "1 1.1 rollback - - = 14 15",
	  "2 - clean - level=rc =1 700 701"},
	 ""},
	{"it had itself ended the session",
	 {"1 - assign 7 level=rc =a 10 11", "1 - enter 7 level=rc,session=1,server=a =1 12 13",
	  "2 2.1 begin - level=rc = 699 699", "2 2.1 leave 7 session=1 =1 699 700",
	  "2 2.1 clean - - =1 700 701", "2 2.1 commit - - = 702 703"},
	 ""},
	{"a session that came while it looked",
	 {"1 - assign 7 level=rc =a 10 11", "1 - enter 7 level=rc,session=1,server=a =1 702 703",
	  "2 - clean - level=rc =1 700 710"},
	 ""},
	{"a session that came before it had begun to delete",
	 {"1 - assign 7 level=rc =a 10 11", "1 - look 7 level=rc =a@5 20 21",
	  "1 - enter 7 level=rc,session=1,server=a =1 702 703", "1 - look 7 level=rc =a@5 704 705",
	  "2 - clean - level=rc =1 700 710"},
	 idle},
	{"a session that came while it deleted",
	 {"1 - assign 7 level=rc =a 10 11", "1 - look 7 level=rc =a@5 20 21",
	  "1 - enter 7 level=rc,session=1,server=a =1 702 703", "1 - look 7 level=rc =a@5* 704 705",
	  "2 - clean - level=rc =1 700 710"},
	 ""},
	{"told while it was being deleted, its lease run out",
	 {"1 - assign 7 level=rc =a 10 11", "2 2.1 begin - level=rc = 699 699",
	  "2 2.1 clean - - =1 700 701", "3 - assign 7 level=rc =a 702 703",
	  "2 2.1 commit - - = 704 705"},
	 idle},
	{"the same, by a grace below the setting",
	 {"1 - assign 7 level=rc =a 10 11", "2 2.1 begin - level=rc = 399 399",
	  "2 2.1 clean - grace=100 =1 400 401", "3 - assign 7 level=rc =a 402 403",
	  "2 2.1 commit - - = 404 405"},
	 ""},
};

class Causes : public testing::TestWithParam<Case>
{
};

TEST_P(Causes, AreJudged)
{
	judge(GetParam());
}

INSTANTIATE_TEST_SUITE_P(Cases, Causes, testing::ValuesIn(cases),
						 [](const auto &one) { return name_of_case(one.param); });

} // namespace
} // namespace stress

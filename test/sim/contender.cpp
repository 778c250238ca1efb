/*
 * contender.cpp: see contender.hpp.
 */
#include "contender.hpp"

namespace sim
{

gxy::Rules
default_rules()
{
	return {.avg_room_occupancy = 10, .join_window = 10 * minute};
}

std::vector<Contender>
contenders()
{
	const gxy::Rules rules = default_rules();
	gxy::Rules short_window = rules;
	gxy::Rules long_window = rules;
	gxy::Rules rooms = rules;
	gxy::Rules sequential = rules;

	short_window.join_window = minute;
	long_window.join_window = 24 * hour;
	rooms.metric = gxy::LoadMetric::rooms;
	sequential.strategy = gxy::Strategy::sequential;
	return {
		{.name = default_name, .rules = rules},
		{.name = oracle_name, .expectation = Expectation::oracle, .rules = rules},
		{.name = "ours: 10 a room", .expectation = Expectation::constant, .rules = rules},
		{.name = "ours: join_window 1 min", .rules = short_window},
		{.name = "ours: join_window 1 day", .rules = long_window},
		{.name = "ours: sequential", .rules = sequential},
		{.name = rebalanced_name, .rules = rules, .rebalanced = true},
		{.name = "ours: 10, rebalanced",
		 .expectation = Expectation::constant,
		 .rules = rules,
		 .rebalanced = true},
		{.name = "rooms x 10", .expectation = Expectation::constant, .rules = rooms, .peer = true},
		{.name = "distinct users only", .method = Method::users_only, .peer = true},
		{.name = "Scalelite", .method = Method::scalelite, .peer = true},
		{.name = "BBBLB", .method = Method::bbblb, .peer = true},
		{.name = "B3LB", .method = Method::b3lb, .peer = true},
		{.name = "Jicofo", .method = Method::jicofo, .peer = true, .best_at_first = true},
		{.name = "two choices", .method = Method::two_choices, .peer = true},
		{.name = "round robin", .method = Method::round_robin, .peer = true},
	};
}

} // namespace sim

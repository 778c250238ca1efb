/*
 * size_model_fuzzer.cpp: room sizes, loads and the failure detector stay in their ranges, for every
 * history that the tables can hold and every order of the clock.
 */
#include <cmath>
#include <cstring>
#include <vector>

#include "input.hpp"
#include "policy/failure_detector.hpp"
#include "policy/placement_policy.hpp"
#include "policy/room_size_model.hpp"

namespace gxy
{
namespace
{

/* Any time, the infinities included. */
std::int64_t
time_from(Input *input)
{
	return input->between(INT64_MIN, INT64_MAX);
}

void
check_history(Input *input)
{
	RoomHistory history{.size = static_cast<double>(input->between(0, 1'000'000)),
						.occasions = input->between(0, INT32_MAX),
						.peak = input->between(0, 1'000'000),
						.assigned_at = time_from(input),
						.opened_at = time_from(input)};

	for (int i = 0; i < 8 && !input->empty(); i++)
	{
		const std::int64_t active = input->between(0, 1'000'000);
		const RoomHistory before = history;
		const bool changed = observe(&history, active, time_from(input), time_from(input));

		require(changed || (before.peak == history.peak && before.occasions == history.occasions),
				"what has not changed need not be stored");
		require(std::isfinite(history.size) && history.size >= 0 && history.size <= 1'000'000,
				"a size is in its range");
		require(history.peak >= 0 && history.peak <= 1'000'000, "a peak is in its range");
		require(history.occasions >= 0, "occasions are not negative");
	}

	const std::int64_t average = input->between(1, 1'000'000);
	const std::int64_t size = learned_size(history, average);

	require(size >= 1 && size <= 1'000'000, "a learned size can be expected");
}

void
check_load(Input *input)
{
	const RoomUse use{.active = input->between(0, 1'000'000'000),
					  .active_known = input->flag(),
					  .expected = input->between(1, 1'000'000),
					  .age = time_from(input),
					  .pinned_size = input->flag(),
					  .leased = input->flag()};
	const Rules rules{.strategy = static_cast<Strategy>(input->number(1) % 3),
					  .metric = static_cast<LoadMetric>(input->number(1) % 2),
					  .avg_room_occupancy = input->between(1, 1'000'000),
					  .join_window = input->between(0, 86'400'000'000)};
	const std::int64_t load = room_load(use, rules);

	require(load >= 0 && load <= 2'000'000'000'000, "a load is in its range");
}

void
check_heartbeats(Input *input)
{
	std::vector<HeartbeatReport> reports(input->number(1) % 12);
	const std::uint32_t bits = static_cast<std::uint32_t>(input->number(4));
	float share;

	std::memcpy(&share, &bits, sizeof share);
	if (share >= 0 && share <= 10)
		require(in_millionths(share) >= 0 && in_millionths(share) <= 10'000'000,
				"a share in range");
	for (HeartbeatReport &report : reports)
		report = {time_from(input), time_from(input), input->flag()};

	const HeartbeatSummary summary =
		summarize_heartbeats(reports.data(), static_cast<int>(reports.size()), time_from(input),
							 input->between(0, 86'400'000'000));

	require(summary.silent <= summary.reporting && summary.fresh <= summary.reporting &&
				summary.reporting <= static_cast<int>(reports.size()),
			"the silent and the fresh are among those that report");
	(void) is_fresh({input->between(0, 10'000'000), time_from(input)}, time_from(input),
					input->between(0, 86'400'000'000));
	(void) is_far_from_count({input->between(0, 10'000'000), 1}, input->between(0, 1'000'000'000),
							 input->between(0, 1'000'000'000'000),
							 input->between(1, 1'000'000'000));
}

} // namespace

void
check_input(Input *input)
{
	check_history(input);
	check_load(input);
	check_heartbeats(input);
}

} // namespace gxy

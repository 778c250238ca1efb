/*
 * room_size_model.cpp: see policy/room_size_model.hpp.
 */
#include "policy/room_size_model.hpp"

#include <algorithm>
#include <cmath>

#include "policy/time_arithmetic.hpp"

namespace gxy
{

namespace
{

/* The first 1/rate peaks have equal weight, as in a plain mean; then the latest has weight rate. */
void
close_occasion(RoomHistory *history, const SizeModelRules &rules)
{
	if (history->peak <= 0)
		return;

	history->occasions = std::max<std::int64_t>(history->occasions, 0) + 1;
	const double weight = std::max(rules.rate, 1.0 / static_cast<double>(history->occasions));
	history->size += weight * (static_cast<double>(history->peak) - history->size);
	history->peak = 0;
}

} // namespace

bool
observe(RoomHistory *history, std::int64_t active, std::int64_t assigned_at, std::int64_t now,
		const SizeModelRules &rules)
{
	if (active <= 0)
		return false;

	const bool open = history->peak > 0 && history->assigned_at == assigned_at &&
					  elapsed(history->opened_at, now) < rules.longest_occasion;
	if (open && active <= history->peak)
		return false;
	if (!open)
	{
		close_occasion(history, rules);
		history->assigned_at = assigned_at;
		history->opened_at = now;
	}
	history->peak = active;
	return true;
}

std::int64_t
learned_size(const RoomHistory &history, std::int64_t average, const SizeModelRules &rules)
{
	RoomHistory closed = history;
	close_occasion(&closed, rules);

	const double occasions = static_cast<double>(std::max<std::int64_t>(closed.occasions, 0));
	if (occasions == 0)
		return std::max<std::int64_t>(average, 1);

	const double size = (occasions * closed.size + rules.shrinkage * static_cast<double>(average)) /
						(occasions + rules.shrinkage);
	return std::max<std::int64_t>(std::llround(size), 1);
}

std::int64_t
occasions_seen(const RoomHistory &history)
{
	return std::max<std::int64_t>(history.occasions, 0) + (history.peak > 0 ? 1 : 0);
}

} // namespace gxy

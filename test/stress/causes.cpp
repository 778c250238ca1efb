/*
 * causes.cpp: see causes.hpp for the rules.
 */
#include "causes.hpp"

namespace stress
{
namespace
{

/* The server's clock and the clients' clock may run at different speeds. */
constexpr Micros margin = 5'000;

int
transaction_of(const World &world, int step)
{
	return world.story->steps[static_cast<std::size_t>(step)].transaction;
}

/* Visits a room's observations backwards from a time; f returns true to stop. */
template <typename F>
bool
any_before(const Room &room, Micros time, F f)
{
	auto after =
		std::upper_bound(room.observations.begin(), room.observations.end(), time,
						 [](Micros at, const Observation &seen) { return at < seen.span.start; });

	while (after != room.observations.begin())
		if (f(*--after))
			return true;
	return false;
}

/* Whether a session was live from a time until the cleanup's call had ended. */
bool
occupied_from(const World &world, const Room &room, const Cleanup &cleanup, Micros time,
			  Alibi *alibi)
{
	return room.stays.any({time, time}, [&](const Stay &stay) {
		if (stay.span.end < cleanup.call.end)
			return false;
		if (alibi != nullptr)
		{
			alibi->what = "the room had a live session";
			alibi->lines.push_back(&world.record(cleanup.step));
			alibi->lines.push_back(&world.record(stay.step));
		}
		return true;
	});
}

/* The assignment as it was last read before a time; 0 if it was not read. */
std::int64_t
generation_before(const Room &room, Micros time)
{
	std::int64_t generation = 0;

	any_before(room, time, [&](const Observation &seen) {
		if (seen.span.end <= time)
			generation = seen.generation;
		return generation != 0 || (seen.seen == Seen::nothing && seen.span.end <= time);
	});
	return generation;
}

bool
occupied(const World &world, const Room &room, const Cleanup &cleanup, Alibi *alibi)
{
	bool held = occupied_from(world, room, cleanup, cleanup.call.start, alibi);

	if (held)
		return true;
	/*
	 * The cleanup deletes first and reads sessions then: a session that came before the row was
	 * seen without a deletion counts as well.
	 */
	any_before(room, cleanup.call.end, [&](const Observation &seen) {
		if (seen.span.start < cleanup.call.start)
			return true;
		held = seen.untouched && seen.span.end <= cleanup.call.end &&
			   occupied_from(world, room, cleanup, seen.span.start, nullptr) &&
			   generation_before(room, cleanup.call.start) == seen.generation &&
			   occupied_from(world, room, cleanup, seen.span.start, alibi);
		if (held && alibi != nullptr)
			alibi->lines.push_back(&world.record(seen.step));
		return held;
	});
	return held;
}

bool
young_for(const World &world, const Room &room, const Cleanup &cleanup, const Observation &seen,
		  Alibi *alibi)
{
	const std::optional<Micros> since = leased_since(world, room, seen, cleanup.step);

	if (!since || cleanup.call.end - *since >= cleanup.grace)
		return false;
	if (alibi != nullptr)
	{
		alibi->what = "the room's lease was at most " +
					  std::to_string((cleanup.call.end - *since) / 1000) + " ms old";
		alibi->lines.push_back(&world.record(cleanup.step));
		alibi->lines.push_back(&world.record(seen.step));
	}
	return true;
}

bool
leased(const World &world, const Room &room, const Cleanup &cleanup, const Observation &before,
	   Alibi *alibi)
{
	bool young = false;

	if (before.span.end > cleanup.call.start && young_for(world, room, cleanup, before, alibi))
		return true;
	any_before(room, cleanup.call.start, [&](const Observation &seen) {
		if (seen.span.start + cleanup.grace <= cleanup.call.end)
			return true;
		young = seen.span.end <= cleanup.call.start && young_for(world, room, cleanup, seen, alibi);
		return young;
	});
	return young;
}

} // namespace

std::optional<Micros>
leased_since(const World &world, const Room &room, const Observation &seen, int exempt)
{
	if (!seen.renews || !seen.stands)
		return std::nullopt;

	const int own = transaction_of(world, seen.step);
	const bool cleaning = world.cleanups.any(seen.span, [&](const Cleanup &cleanup) {
		if (transaction_of(world, cleanup.step) == own)
			return false;
		return cleanup.step != exempt || cleanup.grace < world.grace;
	});

	if (cleaning)
		return std::nullopt;

	Micros since = seen.span.start;
	const bool lost = room.holds.any(seen.span, [&](const Hold &hold) {
		if (hold.transaction == own)
			return false;
		since = std::min(
			since, world.story->transactions[static_cast<std::size_t>(hold.transaction)].begin);
		return !hold.kept;
	});

	if (lost)
		return std::nullopt;

	const Level level = world.story->transactions[static_cast<std::size_t>(own)].level;
	const Micros interval = level == Level::serializable
								? world.grace / 2
								: std::min(world.touch_interval, world.grace / 3);

	return since - interval - margin;
}

bool
may_have_ended(const World &world, const Room &room, const Observation &before, Span window,
			   bool hard, Alibi *alibi)
{
	const bool by_hand = room.endings.any(window, [&](const Ending &ending) {
		return ending.hard || (!hard && ending.spares != before.server);
	});

	const bool failed = !hard && world.failures.any(window, [&before](const Failure &failure) {
		return failure.server == before.server;
	});

	return by_hand || failed || world.freeing.any(window, [&](const Cleanup &cleanup) {
		return !occupied(world, room, cleanup, alibi) &&
			   !leased(world, room, cleanup, before, alibi);
	});
}

bool
certainly_leased(const World &world, const Room &room, Span time,
				 std::vector<const Record *> *proof)
{
	Micros fresh_until = -forever;
	const Observation *first = nullptr;

	/* The last answer before the time, and no later event may have ended the assignment. */
	any_before(room, time.start, [&](const Observation &seen) {
		if (seen.seen == Seen::nothing || !seen.stands || seen.visible_from >= time.start)
			return false;

		const std::optional<Micros> since = leased_since(world, room, seen, -1);

		if (!since)
			return seen.span.start + world.grace < time.start;
		first = &seen;
		fresh_until = *since + world.grace;
		return true;
	});
	if (first == nullptr ||
		may_have_ended(world, room, *first, {first->span.start, time.end}, false, nullptr))
		return false;
	proof->push_back(&world.record(first->step));

	for (const Observation &seen : room.observations)
	{
		if (fresh_until > time.end)
			break;
		if (seen.span.start <= first->span.start || seen.span.end > fresh_until)
			continue;

		const std::optional<Micros> since = leased_since(world, room, seen, -1);

		if (since && *since + world.grace > fresh_until)
		{
			fresh_until = *since + world.grace;
			proof->push_back(&world.record(seen.step));
		}
	}
	return fresh_until > time.end;
}

Micros
longest_time_alone(const World &world, const Room &room, int transaction, Span time)
{
	std::vector<Span> others;
	Micros covered = time.start;
	Micros longest = 0;

	room.holds.any(time, [&](const Hold &hold) {
		if (hold.transaction != transaction)
			others.push_back(hold.span);
		return false;
	});
	world.cleanups.any(time, [&](const Cleanup &cleanup) {
		if (transaction_of(world, cleanup.step) != transaction)
			others.push_back(cleanup.span);
		return false;
	});
	std::sort(others.begin(), others.end(),
			  [](const Span &a, const Span &b) { return a.start < b.start; });
	for (const Span &other : others)
	{
		longest = std::max(longest, other.start - covered);
		covered = std::max(covered, other.end);
	}
	return std::max(longest, time.end - covered);
}

} // namespace stress

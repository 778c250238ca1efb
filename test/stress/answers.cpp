/*
 * answers.cpp: a room has one server at any moment, no assignment appears without a call that made
 * it, and none ends without a cause.
 *
 * Each observation of a room is compared with earlier ones, from the latest back to the first that
 * settles the question: one that agrees and is certain (an observation that contradicts this one
 * contradicts that one too), or one that differs for a reason. So each change is judged once, at
 * its first sign.
 */
#include "checks.hpp"

namespace stress
{
namespace
{

enum class Judgement : std::uint8_t
{
	open, /* settles nothing: look further back */
	settled,
	different, /* another server, without a cause */
	vanished,
	appeared
};

struct Finding
{
	Judgement judgement = Judgement::open;
	Alibi alibi = {};
};

bool
overlap(const Observation &a, const Observation &b)
{
	return a.span.end >= b.span.start;
}

bool
beyond_doubt(const Observation &seen)
{
	return seen.stands && seen.void_from == forever;
}

class Judge
{
public:
	Judge(const World &world, const Room &room) : world(world), room(room) {}

	/* a began first. */
	Finding compare(const Observation &a, const Observation &b) const
	{
		if (a.seen == Seen::nothing)
			return b.seen == Seen::nothing ? same(a, b) : after_nothing(a, b);
		if (b.seen == Seen::nothing)
			return gone(a, b);
		if (a.seen == Seen::something)
			return b.seen == Seen::something ? same(a, b) : Finding();
		if (b.seen == Seen::something)
			return a.visible_from < b.span.start ? same(a, b) : Finding();
		return a.server == b.server ? same(a, b) : another_server(a, b);
	}

	/*
	 * Two reads of the same server that include the assignment time, and no observation between
	 * them.
	 */
	Finding compare_generations(const Observation &a, const Observation &b) const
	{
		if (overlap(a, b) || a.generation == b.generation)
			return {Judgement::settled};
		return caused(a, {a.span.start, b.span.end}, true, Judgement::vanished);
	}

	/* The worker moves the rooms of a failed server; no client's history contains that. */
	bool has_author(const Observation &seen) const
	{
		const Span before = {-forever, seen.span.end};

		return seen.creates || seen.seen == Seen::nothing ||
			   room.creations.any(before, [&](const Creation &made) {
				   return seen.seen == Seen::something || made.server == seen.server ||
						  world.failures.any(before, [&made](const Failure &failure) {
							  return failure.server == made.server;
						  });
			   });
	}

private:
	static Finding same(const Observation &a, const Observation &b)
	{
		return {!overlap(a, b) && beyond_doubt(a) ? Judgement::settled : Judgement::open};
	}

	Finding caused(const Observation &before, Span window, bool hard, Judgement otherwise) const
	{
		Finding finding;

		finding.judgement = may_have_ended(world, room, before, window, hard, &finding.alibi)
								? Judgement::settled
								: otherwise;
		return finding;
	}

	Finding another_server(const Observation &a, const Observation &b) const
	{
		if (b.span.end >= a.void_from || (overlap(a, b) && a.span.end >= b.void_from))
			return {};
		/* If the two overlap, either may have been first. */
		if (overlap(a, b) &&
			may_have_ended(world, room, b, {b.span.start, a.span.end}, false, nullptr))
			return {Judgement::settled};
		return caused(a, {a.span.start, b.span.end}, false, Judgement::different);
	}

	Finding gone(const Observation &a, const Observation &b) const
	{
		if (a.visible_from >= b.span.start || b.span.end >= a.void_from)
			return {};
		return caused(a, {a.span.start, b.span.end}, true, Judgement::vanished);
	}

	Finding after_nothing(const Observation &a, const Observation &b) const
	{
		if (overlap(a, b))
			return {};
		if (b.creates || room.creations.any({a.span.start, b.span.end}))
			return {Judgement::settled};
		return {Judgement::appeared};
	}

	const World &world;
	const Room &room;
};

/* The findings of all rooms, by the rule that they break. */
class Answers
{
public:
	Answers(const World &world, Verdict *verdict)
		: world(world), one_server(verdict->begin("one server a room at any moment")),
		  kept(verdict->begin("no assignment ends without a cause")),
		  idle(verdict->begin("cleanups free idle rooms only")),
		  authored(verdict->begin("no assignment without an author"))
	{
	}

	void run()
	{
		for (const Room &room : world.rooms)
			check(room);
		idle->looked(world.freeing.all().size());
	}

private:
	void check(const Room &room)
	{
		const Judge judge(world, room);
		const Observation *last_look = nullptr;

		for (std::size_t i = 0; i < room.observations.size(); i++)
		{
			const Observation &seen = room.observations[i];

			(seen.seen == Seen::server ? one_server : kept)->looked();
			for (std::size_t j = i; j-- > 0;)
			{
				const Finding finding = judge.compare(room.observations[j], seen);

				if (finding.judgement == Judgement::open)
					continue;
				report(room, finding, room.observations[j], seen);
				break;
			}
			/* A release by the same transaction may have removed its own assignment. */
			if (seen.generation != 0 && seen.visible_from != forever)
			{
				if (last_look != nullptr)
					report(room, judge.compare_generations(*last_look, seen), *last_look, seen);
				last_look = &seen;
			}
			authored->looked();
			if (!judge.has_author(seen))
				authored->found("room " + room.name +
									": an assignment that no client can have made",
								{&world.record(seen.step)});
		}
	}

	void report(const Room &room, const Finding &finding, const Observation &a,
				const Observation &b)
	{
		if (finding.judgement == Judgement::open || finding.judgement == Judgement::settled)
			return;

		const std::string prefix = "room " + room.name + ": ";
		std::vector<const Record *> lines = finding.alibi.lines;

		lines.push_back(&world.record(a.step));
		lines.push_back(&world.record(b.step));
		add_end_of(a, &lines);
		add_end_of(b, &lines);
		if (!finding.alibi.lines.empty())
			idle->found(prefix + "only a cleanup can have ended it, but " + finding.alibi.what,
						std::move(lines));
		else if (finding.judgement == Judgement::different)
			one_server->found(prefix + "two servers, and nothing that can have ended the first",
							  std::move(lines));
		else if (finding.judgement == Judgement::vanished)
			kept->found(prefix + "an assignment is gone, and nothing can have ended it",
						std::move(lines));
		else
			authored->found(prefix + "an assignment that no client can have made",
							std::move(lines));
	}

	void add_end_of(const Observation &seen, std::vector<const Record *> *lines) const
	{
		const Step &step = world.story->steps[static_cast<std::size_t>(seen.step)];

		if (step.transaction >= 0)
			lines->push_back(&world.record(world.story->of(step).steps.back()));
	}

	const World &world;
	Check *one_server;
	Check *kept;
	Check *idle;
	Check *authored;
};

} // namespace

void
check_answers(const World &world, Verdict *verdict)
{
	Answers(world, verdict).run();
}

void
check_all(const Story &story, Verdict *verdict)
{
	const World world =
		sort_by_room(story, verdict->begin("a transaction sees what it has written itself"));

	check_answers(world, verdict);
	check_errors(world, verdict);
	check_waits(world, verdict);
	check_placements(world, verdict);
	check_spread(world, verdict);
	check_totals(world, verdict);
}

} // namespace stress

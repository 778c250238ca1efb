/*
 * errors.cpp: which SQLSTATE each operation may raise, and when; and how long a call may take.
 *
 * Outside of SERIALIZABLE the balancer's functions raise two errors. 40P01: the transaction had
 * already locked rooms, and it or a concurrent one took its rooms in another order than the rest.
 * 55P03: the call waited for assign_timeout, and other transactions had the room locked all that
 * time. Neither is allowed if the room was certainly assigned and its lease had not expired,
 * because such a call does not wait. 40001 is never allowed.
 */
#include "checks.hpp"

namespace stress
{
namespace
{

/* Machines are busy, and a waiting process does not wake at once; this is not a measurement. */
constexpr Micros patience = 3'000'000;
constexpr Micros idle_patience = 1'000'000;

bool
is_call_for_a_room(Operation operation)
{
	return operation == Operation::assign || operation == Operation::touch;
}

/* The application's own statements take the server's usual row locks and snapshots. */
bool
is_plain_statement(Operation operation)
{
	switch (operation)
	{
		case Operation::upsert:
		case Operation::erase:
		case Operation::wipe:
		case Operation::look:
		case Operation::enter:
		case Operation::leave:
		case Operation::server:
			return true;
		default:
			return false;
	}
}

class Errors
{
public:
	Errors(const World &world, Verdict *verdict)
		: world(world), errors(verdict->begin("errors are those that an operation may give")),
		  connections(verdict->begin("connections are lost only if they are killed"))
	{
		for (const Step &step : world.story->steps)
			if (step.record->operation == Operation::kill && step.record->answer != "f")
				kills.add({{step.record->start, step.record->end + patience},
						   std::string(step.record->argument("client"))});
		kills.sort();
		for (const Transaction &transaction : world.story->transactions)
			if (!transaction.sorted)
				unsorted.add({{transaction.begin, transaction.end.end}});
		unsorted.sort();
	}

	void run()
	{
		for (const Step &step : world.story->steps)
		{
			if (step.record->outcome == Outcome::failed)
				judge(step);
			else if (step.record->outcome == Outcome::lost)
				judge_loss(*step.record);
			errors->looked();
		}
	}

private:
	struct Kill
	{
		Span span;
		std::string client;
	};

	struct Period
	{
		Span span;
	};

	void judge(const Step &step)
	{
		std::vector<const Record *> lines = {step.record};
		const std::string complaint = complaint_about(step, &lines);

		if (!complaint.empty())
			errors->found(complaint, std::move(lines));
	}

	std::string complaint_about(const Step &step, std::vector<const Record *> *lines) const
	{
		const Record &record = *step.record;
		const std::string &state = record.answer;

		if (step.transaction < 0)
			return "an error where there cannot be one";

		const Level level = world.story->of(step).level;

		if (state == "40001" && level == Level::serializable)
			return "";
		if (state == "40001" && is_plain_statement(record.operation) &&
			level == Level::repeatable_read)
			return "";
		if (state == "55006" && record.operation == Operation::server)
			return "";
		if (is_call_for_a_room(record.operation) && level != Level::serializable)
		{
			std::vector<const Record *> proof;
			const Room *room = world.room_of(step);

			if (room != nullptr && certainly_leased(world, *room, step.span(), &proof))
			{
				lines->insert(lines->end(), proof.begin(), proof.end());
				return "an error for a room that was assigned, its lease not run out";
			}
		}
		if (state == "40P01")
			return may_deadlock(step) ? "" : "a deadlock among those who keep to the order";
		if (state == "55P03")
			return complaint_about_timeout(step);
		return "an error that this operation does not give";
	}

	bool may_deadlock(const Step &step) const
	{
		const Transaction &transaction = world.story->of(step);

		return !transaction.autocommit && step.record->room != "-" &&
			   (!transaction.sorted || unsorted.any({transaction.begin, step.record->end}));
	}

	std::string complaint_about_timeout(const Step &step) const
	{
		const Record &record = *step.record;
		const Room *room = world.room_of(step);

		if (is_plain_statement(record.operation) || room == nullptr)
			return "an error that this operation does not give";
		if (record.end - record.start < world.assign_timeout - 50'000)
			return "a timeout before its time";
		if (longest_time_alone(world, *room, step.transaction, step.span()) > idle_patience)
			return "a timeout, and no transaction had locked the room all that time";
		return "";
	}

	void judge_loss(const Record &record)
	{
		const std::string client = std::to_string(record.client);

		connections->looked();
		if (!kills.any({record.start, record.end},
					   [&client](const Kill &kill) { return kill.client == client; }))
			connections->found("a connection was lost that no client had killed", {&record});
	}

	const World &world;
	Check *errors;
	Check *connections;
	Timeline<Kill> kills;
	Timeline<Period> unsorted;
};

bool
waits_within_bounds(Operation operation)
{
	return is_call_for_a_room(operation) || operation == Operation::release ||
		   operation == Operation::clean;
}

} // namespace

void
check_errors(const World &world, Verdict *verdict)
{
	Errors(world, verdict).run();
}

void
check_waits(const World &world, Verdict *verdict)
{
	Check *bounded = verdict->begin("no call lasts longer than assign_timeout");
	Check *caused = verdict->begin("no call waits without a cause");

	for (const Step &step : world.story->steps)
	{
		const Record &record = *step.record;
		const Micros length = record.end - record.start;
		std::vector<const Record *> lines = {&record};

		if (!record.answered() || !waits_within_bounds(record.operation))
			continue;
		bounded->looked();
		if (length > world.assign_timeout + patience)
			bounded->found("a call that lasted too long", lines);
		if (record.operation == Operation::clean)
			continue;
		caused->looked();
		/* Long enough to exclude chance; only then the reason for the wait is checked. */
		if (length <= patience)
			continue;
		if (longest_time_alone(world, *world.room_of(step), step.transaction, step.span()) >
			patience - idle_patience)
			caused->found("it took long, and no transaction had locked the room all that time",
						  lines);
		else if (is_call_for_a_room(record.operation) &&
				 certainly_leased(world, *world.room_of(step), step.span(), &lines))
			caused->found("it took long, and the room was assigned, its lease not run out", lines);
	}
}

} // namespace stress

/*
 * interleavings.cpp: plays scenarios in all orders, or in some drawn by a seed.
 *
 *     interleavings [OPTION]... SCENARIO...
 *
 *     --model NAME     the database that the others are copies of; default interleavings
 *     --databases N    how many play at the same time; default: twice the processors
 *     --sample N       N orders of each scenario, drawn by the seed; where one is blocked, the
 *                      next one that can goes on
 *     --seed N         default: another one each time
 *     --order DIGITS   this order of session numbers, as a violation prints it
 *     --first          stops a scenario at its first violation
 *     --pauses         there is a second model, NAME_pauses, with a library that has the debug
 *                      pauses; otherwise scenarios that need them are left out
 *
 * The server is that of the PG* variables. Prints a line of TAP for each scenario and the totals,
 * and every ten seconds how far it is. Interrupted, it prints what it has played.
 */
#include "player.hpp"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <mutex>
#include <random>
#include <sstream>
#include <thread>

namespace interleavings
{
namespace
{

constexpr std::size_t length_of_beginnings = 4;
constexpr std::uint64_t violations_shown = 3;

struct Options
{
	std::string model = "interleavings";
	unsigned databases = 2 * std::max(1u, std::thread::hardware_concurrency());
	std::size_t sample = 0; /* 0: all orders */
	std::uint64_t seed = std::random_device()();
	std::string order;
	bool first = false;
	bool pauses = false;
	std::vector<std::string> files;

	bool all() const { return sample == 0 && order.empty(); }
};

struct Totals
{
	std::uint64_t orders = 0; /* with the impossible ones */
	std::uint64_t impossible = 0;
	std::uint64_t steps = 0;
	std::uint64_t blocked = 0;
	std::uint64_t violations = 0; /* orders with one */

	void add(const Totals &other)
	{
		orders += other.orders;
		impossible += other.impossible;
		steps += other.steps;
		blocked += other.blocked;
		violations += other.violations;
	}
	std::string text() const;
};

std::string
Totals::text() const
{
	return std::to_string(orders) + " orders (" + std::to_string(impossible) + " impossible), " +
		   std::to_string(steps) + " steps, " + std::to_string(blocked) + " blocked, " +
		   std::to_string(violations) + " violations";
}

/* A scenario being played; shared by the threads. */
struct Run
{
	Scenario scenario;
	std::vector<Order> parts;			/* beginnings of orders; for a sample, whole orders */
	std::atomic<std::size_t> taken = 0; /* parts */
	std::atomic<bool> stopped = false;
	std::mutex mutex; /* of all below */
	Totals totals;
	unsigned players = 0;
	std::chrono::steady_clock::time_point start = std::chrono::steady_clock::now();
};

std::mutex output;

void
show_violations(const Scenario &scenario, const Order &order, const Outcome &outcome)
{
	std::lock_guard guard(output);

	std::printf("# %s: violation, with --order %s\n", scenario.name.c_str(),
				digits_of(order).c_str());
	for (const Played &played : outcome.played)
		std::printf("#     %-16s %d-%d%s %s\n", played.statement->name.c_str(), played.sent,
					played.ended, played.waited ? " waited:" : ":",
					played.answer.error.empty() ? played.answer.value.c_str()
												: played.answer.error.c_str());
	for (const std::string &violation : outcome.violations)
		std::printf("#   %s\n", violation.c_str());
	std::fflush(stdout);
}

/* Plays one order. Returns how many orders that decides. */
std::uint64_t
play(Run *run, Player *player, const Order &order, bool strict, Walk *walk)
{
	Outcome outcome = player->play(order, strict);
	Totals totals;

	totals.orders = 1;
	if (walk != nullptr && !outcome.possible)
		totals.orders = totals.impossible = walk->leave_out(outcome.places);
	else if (walk != nullptr)
		walk->next();
	totals.steps = outcome.played.size();
	totals.blocked = static_cast<std::uint64_t>(outcome.blocked());
	totals.violations = outcome.violations.empty() ? 0 : 1;

	std::lock_guard guard(run->mutex);

	run->totals.add(totals);
	if (totals.violations > 0 && run->totals.violations <= violations_shown)
		show_violations(run->scenario, order, outcome);
	return totals.violations;
}

void
play_part(Run *run, Player *player, const Order &part, const Options &options)
{
	if (!options.all())
	{
		if (play(run, player, part, false, nullptr) > 0 && options.first)
			run->stopped = true;
		return;
	}
	for (Walk walk(run->scenario.counts(), part); !walk.finished() && !run->stopped;)
	{
		const Order order = walk.current();

		if (play(run, player, order, true, &walk) > 0 && options.first)
			run->stopped = true;
	}
}

/* One line of TAP. */
void
conclude(Run *run)
{
	std::chrono::duration<double> time = std::chrono::steady_clock::now() - run->start;
	std::lock_guard guard(output);

	std::printf("%s - %s: %s, %.0f s\n", run->totals.violations > 0 ? "not ok" : "ok",
				run->scenario.name.c_str(), run->totals.text().c_str(), time.count());
	std::fflush(stdout);
}

/* A thread: takes part in every scenario that has parts left. */
void
take_part(std::vector<std::unique_ptr<Run>> *runs, unsigned number, const Options &options)
{
	for (auto &run : *runs)
	{
		{
			std::lock_guard guard(run->mutex);

			if (run->stopped || run->taken >= run->parts.size() ||
				(!options.all() && run->players > 0))
				continue;
			if (run->players++ == 0)
				run->start = std::chrono::steady_clock::now();
		}
		{
			std::string database = options.model + "_" + std::to_string(number);
			Player player(run->scenario, database,
						  options.model + (run->scenario.needs_pauses ? "_pauses" : ""));

			for (std::size_t part; !run->stopped && (part = run->taken++) < run->parts.size();)
				play_part(run.get(), &player, run->parts[part], options);
		}

		std::unique_lock guard(run->mutex);

		if (--run->players == 0 && (run->stopped || run->taken >= run->parts.size()))
		{
			guard.unlock();
			conclude(run.get());
		}
	}
}

std::unique_ptr<Run>
prepare(const std::string &file, const Options &options)
{
	std::ifstream stream(file);
	std::stringstream text;
	std::string error;
	std::string name = file.substr(file.rfind('/') + 1);

	text << stream.rdbuf();
	if (!stream)
		give_up("cannot read " + file);

	std::optional<Scenario> scenario =
		parse_scenario(name.substr(0, name.find('.')), text.str(), &error);

	if (!scenario)
		give_up(file + ": " + error);

	auto run = std::make_unique<Run>();
	Dice dice(options.seed);

	run->scenario = *scenario;
	if (!options.order.empty())
	{
		const Order order = order_of(options.order);

		if (!is_order_of(order, scenario->counts()))
			give_up(name + ": not an order of its sessions' statements: " + options.order);
		run->parts.push_back(order);
	}
	else if (options.sample > 0)
		for (std::size_t i = 0; i < options.sample; i++)
			run->parts.push_back(random_order(scenario->counts(), &dice));
	else
		run->parts = beginnings(scenario->counts(), length_of_beginnings);
	return run;
}

volatile std::sig_atomic_t interrupted = 0;

void
interrupt(int)
{
	interrupted = 1;
}

/* Prints how many orders of a scenario that is being played have been done. */
void
show_progress_of(Run *run, bool all, const char *end)
{
	std::lock_guard guard(run->mutex);

	if (run->players == 0)
		return;

	const std::uint64_t orders = all ? number_of_orders(run->scenario.counts()) : run->parts.size();
	const std::uint64_t done = run->totals.orders;
	const std::chrono::duration<double> time = std::chrono::steady_clock::now() - run->start;
	const auto left =
		static_cast<double>(orders - done) / static_cast<double>(std::max(done, std::uint64_t(1)));
	std::lock_guard line(output);

	std::printf("# %s: %s of %s orders, %s violations, %.0f s, about %.0f s left%s",
				run->scenario.name.c_str(), std::to_string(done).c_str(),
				std::to_string(orders).c_str(), std::to_string(run->totals.violations).c_str(),
				time.count(), time.count() * left, end);
	std::fflush(stdout);
}

/* Ends the process while the players may wait for the server, with what they have played. */
[[noreturn]] void
end_interrupted(const std::vector<std::unique_ptr<Run>> &runs, bool all)
{
	Totals totals;

	for (const auto &run : runs)
	{
		show_progress_of(run.get(), all, "\n");

		std::lock_guard guard(run->mutex);

		totals.add(run->totals);
	}
	std::printf("# interrupted\n%s\n", totals.text().c_str());
	std::fflush(stdout);
	_exit(130);
}

/* Shows how far the scenarios are: on a terminal often, otherwise every ten seconds. */
void
show_progress(const std::vector<std::unique_ptr<Run>> &runs, bool all,
			  const std::atomic<bool> &finished)
{
	const bool terminal = isatty(STDOUT_FILENO) != 0;
	int ticks = 0;

	while (!finished)
	{
		std::this_thread::sleep_for(std::chrono::milliseconds(100));
		if (interrupted != 0)
			end_interrupted(runs, all);
		if (++ticks % (terminal ? 5 : 100) != 0)
			continue;
		for (const auto &run : runs)
			show_progress_of(run.get(), all, terminal ? "   \r" : "\n");
	}
}

[[noreturn]] void
usage()
{
	std::fprintf(stderr, "usage: interleavings [--model NAME] [--databases N] [--sample N] "
						 "[--seed N] [--order DIGITS] [--first] [--pauses] SCENARIO...\n");
	std::exit(2);
}

Options
read_options(int count, char **arguments)
{
	Options options;

	for (int i = 1; i < count; i++)
	{
		std::string option = arguments[i];
		auto value = [&] { return i + 1 < count ? std::string(arguments[++i]) : (usage(), ""); };

		if (option == "--model")
			options.model = value();
		else if (option == "--databases")
			options.databases = static_cast<unsigned>(std::stoul(value()));
		else if (option == "--sample")
			options.sample = std::stoul(value());
		else if (option == "--seed")
			options.seed = std::stoull(value());
		else if (option == "--order")
			options.order = value();
		else if (option == "--first")
			options.first = true;
		else if (option == "--pauses")
			options.pauses = true;
		else if (option.starts_with("--"))
			usage();
		else
			options.files.push_back(option);
	}
	if (options.files.empty() || options.databases == 0)
		usage();
	return options;
}

int
run_all(const Options &options)
{
	std::vector<std::unique_ptr<Run>> runs;
	std::vector<std::thread> threads;
	std::atomic<bool> finished = false;
	Totals totals;

	std::signal(SIGINT, interrupt);
	std::signal(SIGTERM, interrupt);
	for (const std::string &file : options.files)
	{
		runs.push_back(prepare(file, options));
		if (runs.back()->scenario.needs_pauses && !options.pauses)
			runs.pop_back();
	}
	if (options.sample > 0)
		std::printf("# %zu orders of each scenario, --seed %llu\n", options.sample,
					static_cast<unsigned long long>(options.seed));

	std::thread progress([&] { show_progress(runs, options.all(), finished); });

	for (unsigned i = 0; i < options.databases; i++)
		threads.emplace_back([&, i] { take_part(&runs, i, options); });
	for (std::thread &thread : threads)
		thread.join();
	finished = true;
	progress.join();
	for (const auto &run : runs)
		totals.add(run->totals);
	std::printf("%s\n", totals.text().c_str());
	return totals.violations > 0 ? 1 : 0;
}

} // namespace
} // namespace interleavings

int
main(int count, char **arguments)
{
	return interleavings::run_all(interleavings::read_options(count, arguments));
}

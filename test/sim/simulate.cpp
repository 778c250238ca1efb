/*
 * simulate.cpp: the program. See usage below; doc/balance.md tells what it is for.
 */
#include "shards.hpp"
#include "sweep.hpp"

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <thread>

namespace
{

using namespace sim;

constexpr const char *usage =
	"usage: simulate [--seeds N] [--threads N] [--trace NAME]... [--quiet]\n"
	"                [--table FILE] [--data FILE] [--check] [--shards] [--sweep FILE]\n"
	"       simulate --csv FILE [--servers N] [--capacity N] [--ask-before SECONDS]\n"
	"       simulate --dump NAME [--seed N]       writes a trace as CSV\n";

struct Options
{
	Study study;
	std::string table, data, sweep, csv, dump;
	std::uint64_t seed = 1;
	int servers = 12;
	std::int64_t capacity = 400;
	double ask_before = 20;
	bool check = false;
	bool shards = false; /* those of shards.hpp, in the place of the policies and traces */
};

[[noreturn]] void
fail(const std::string &complaint)
{
	std::cerr << "simulate: " << complaint << '\n';
	std::exit(2);
}

const Scenario &
scenario(const std::string &name)
{
	const Scenario *found = scenario_named(name);
	if (found == nullptr)
		fail("no trace is called " + name);
	return *found;
}

void
set(Options *options, const std::string &name, const std::string &value)
{
	const int number = std::atoi(value.c_str());

	if (name == "--seeds" && number > 0)
		options->study.seeds = number;
	else if (name == "--threads" && number > 0)
		options->study.threads = number;
	else if (name == "--trace")
		options->study.scenarios.push_back(scenario(value));
	else if (name == "--table")
		options->table = value;
	else if (name == "--data")
		options->data = value;
	else if (name == "--sweep")
		options->sweep = value;
	else if (name == "--csv")
		options->csv = value;
	else if (name == "--dump")
		options->dump = value;
	else if (name == "--seed" && number >= 0)
		options->seed = static_cast<std::uint64_t>(number);
	else if (name == "--servers" && number > 0)
		options->servers = number;
	else if (name == "--capacity" && number > 0)
		options->capacity = number;
	else if (name == "--ask-before")
		options->ask_before = std::atof(value.c_str());
	else
		fail("what is " + name + " " + value + "?\n" + usage);
}

Options
parse(int argc, char **argv)
{
	Options options;

	options.study.threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
	for (int i = 1; i < argc; i++)
	{
		const std::string name = argv[i];
		if (name == "--check")
			options.check = true;
		else if (name == "--shards")
			options.shards = true;
		else if (name == "--quiet")
			options.study.progress = false;
		else if (i + 1 < argc)
			set(&options, name, argv[++i]);
		else
			fail("what is " + name + "?\n" + usage);
	}
	if (options.study.scenarios.empty())
		options.study.scenarios = options.shards ? shard_scenarios() : scenarios();
	if (options.shards)
	{
		options.study.contenders = options.check ? judged_shard_contenders() : shard_contenders();
		return options;
	}
	options.study.contenders = contenders();
	if (options.check)
		std::erase_if(options.study.contenders, [](const Contender &one) {
			return !one.peer && one.name != default_name && one.name != oracle_name &&
				   one.name != rebalanced_name;
		});
	return options;
}

template <typename Print>
void
write(const std::string &file, Print print)
{
	if (file.empty())
		return;
	std::ofstream out(file);
	print(out);
	if (!out)
		fail("cannot write " + file);
}

/* A trace of the user's own service; sizes are learned from the trace itself. */
int
compare_csv(const Options &options)
{
	Trace trace;
	std::string complaint;
	std::ifstream in(options.csv);

	if (!read_csv(in, static_cast<Time>(options.ask_before * second), &trace, &complaint))
		fail(options.csv + ": " + complaint);
	trace.servers = equal_servers(options.servers, options.capacity);

	Study study = options.study;
	study.seeds = 1;
	study.scenarios = {{.name = "trace", .what = options.csv.c_str(), .make = nullptr}};
	Findings findings(1);
	for (const Figures &figures : compare(trace, study.contenders, options.seed))
		findings[0].push_back({figures});
	print_table(study, findings, std::cout);
	return 0;
}

int
report_shards(const Options &options, const Findings &findings)
{
	const Study &study = options.study;

	if (options.check)
		return print_shard_verdicts(study, findings, std::cout) ? 0 : 1;
	write(options.table, [&](std::ostream &out) {
		print_table(study, findings, out);
		print_shards(study, findings, out);
	});
	write(options.data, [&](std::ostream &out) { print_shard_data(study, findings, out); });
	print_shards(study, findings, std::cout);
	return 0;
}

} // namespace

int
main(int argc, char **argv)
{
	const Options options = parse(argc, argv);

	if (!options.dump.empty())
		return write_csv(scenario(options.dump).make(options.seed), std::cout), 0;
	if (!options.csv.empty())
		return compare_csv(options);
	if (!options.sweep.empty())
		return write(options.sweep, [&](std::ostream &out) { sweep(options.study, out); }), 0;

	const Findings findings = carry_out(options.study);
	if (options.shards)
		return report_shards(options, findings);
	write(options.table, [&](std::ostream &out) { print_table(options.study, findings, out); });
	write(options.data, [&](std::ostream &out) { print_data(options.study, findings, out); });
	if (options.check)
		return print_verdicts(options.study, findings, std::cout) ? 0 : 1;
	if (options.table.empty())
		print_table(options.study, findings, std::cout);
	return 0;
}

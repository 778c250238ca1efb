/*
 * stress.cpp: many clients at once, and a history of their answers. The checker judges it.
 *
 *     stress FILE SECONDS CLIENTS SEED GRACE [failover]
 *
 * The database is that of the PG* environment, as `run` has prepared it; GRACE is its
 * assignment_grace in milliseconds. failover: servers fail and recover while clients call, and
 * nothing else happens; the worker must be running.
 */
#include "phases.hpp"

#include <cstdlib>

int
main(int argc, char **argv)
{
	if (argc != 6 && argc != 7)
	{
		std::fprintf(stderr, "usage: stress FILE SECONDS CLIENTS SEED GRACE [failover]\n");
		return 2;
	}

	std::FILE *file = std::fopen(argv[1], "w");

	if (file == nullptr)
	{
		std::perror(argv[1]);
		return 2;
	}

	stress::Run run(std::atoi(argv[3]));
	bool complete = false;

	run.seconds = std::atoi(argv[2]);
	run.seed = std::strtoull(argv[4], nullptr, 10);
	run.grace = std::atoi(argv[5]);
	{
		stress::Journal journal(file);

		complete =
			argc == 7 ? stress::run_failovers(&run, &journal) : stress::run_phases(&run, &journal);
	}
	return std::fclose(file) == 0 && complete ? 0 : 1;
}

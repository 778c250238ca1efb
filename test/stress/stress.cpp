/*
 * stress.cpp: many clients at once, and a history of what they were told. Judges nothing: that is the checker's.
 *
 *     stress FILE SECONDS CLIENTS SEED GRACE
 *
 * The database is that of the PG* environment, as `run` has prepared it; GRACE is its assignment_grace in milliseconds.
 */
#include "phases.hpp"

#include <cstdlib>

int
main(int argc, char **argv)
{
	if (argc != 6)
	{
		std::fprintf(stderr, "usage: stress FILE SECONDS CLIENTS SEED GRACE\n");
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

		complete = stress::run_phases(&run, &journal);
	}
	return std::fclose(file) == 0 && complete ? 0 : 1;
}

/*
 * replay.cpp: the main function of a fuzzer where there is no libFuzzer. Runs the inputs of a
 * corpus, one in hexadecimal digits a line, and then inputs made of them by a seed.
 *
 *     NAME CORPUS COUNT SEED
 */
#include <fstream>
#include <iostream>
#include <random>
#include <string>
#include <vector>

#include "input.hpp"

namespace
{

using Bytes = std::vector<std::uint8_t>;

std::vector<Bytes>
read_corpus(const char *name)
{
	std::ifstream file(name);
	std::vector<Bytes> corpus;

	for (std::string line; std::getline(file, line);)
	{
		Bytes &bytes = corpus.emplace_back();

		for (std::size_t i = 0; i + 1 < line.size(); i += 2)
			bytes.push_back(static_cast<std::uint8_t>(std::stoul(line.substr(i, 2), nullptr, 16)));
	}
	return corpus;
}

/* Changes some bytes, and sometimes the length. */
Bytes
changed(Bytes bytes, std::mt19937_64 *random)
{
	if ((*random)() % 4 == 0)
		bytes.resize((*random)() % 700);
	for (std::uint64_t i = (*random)() % 16 + 1; i > 0 && !bytes.empty(); i--)
		bytes[(*random)() % bytes.size()] = static_cast<std::uint8_t>((*random)());
	return bytes;
}

} // namespace

int
main(int count, char **arguments)
{
	if (count != 4)
		return 2;

	const std::vector<Bytes> corpus = read_corpus(arguments[1]);
	const long changes = std::stol(arguments[2]);
	std::mt19937_64 random(std::stoull(arguments[3]));

	if (corpus.empty())
	{
		std::cerr << "no corpus in " << arguments[1] << "\n";
		return 1;
	}
	for (const Bytes &bytes : corpus)
		LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
	for (long i = 0; i < changes; i++)
	{
		const Bytes bytes = changed(corpus[random() % corpus.size()], &random);

		LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
	}
	std::cout << corpus.size() << " inputs of the corpus, " << changes << " made of them\n";
}

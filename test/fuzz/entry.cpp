/* entry.cpp: gives an input of libFuzzer, or of replay.cpp, to the fuzzer. */
#include "input.hpp"

int
LLVMFuzzerTestOneInput(const std::uint8_t *bytes, std::size_t size)
{
	gxy::Input input(bytes, size);

	gxy::check_input(&input);
	return 0;
}

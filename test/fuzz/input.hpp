/*
 * input.hpp: values from the bytes of a fuzzer, and what a fuzzer is: check_input().
 */
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

/* What libFuzzer, and replay.cpp, call with each input. */
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *bytes, std::size_t size);

namespace gxy
{

/* After the last byte all values are the least. */
class Input
{
public:
	Input(const std::uint8_t *bytes, std::size_t size) : next(bytes), end(bytes + size) {}

	bool empty() const { return next == end; }

	std::uint64_t number(int bytes = 8)
	{
		std::uint64_t value = 0;

		for (int i = 0; i < bytes && next < end; i++)
			value |= std::uint64_t{*next++} << (8 * i);
		return value;
	}

	/* From low to high, both included; every fourth is near one of the two. */
	std::int64_t between(std::int64_t low, std::int64_t high)
	{
		const std::uint64_t kind = number(1);
		const std::uint64_t width =
			static_cast<std::uint64_t>(high) - static_cast<std::uint64_t>(low);
		const std::uint64_t offset = kind % 4 == 0 ? number(1) : number(8);
		const std::uint64_t within = width == UINT64_MAX ? offset : offset % (width + 1);

		return static_cast<std::int64_t>(static_cast<std::uint64_t>(low) +
										 (kind % 8 == 4 ? width - within : within));
	}

	bool flag() { return number(1) % 2 == 1; }

	std::string text(std::size_t most)
	{
		std::string text;

		while (text.size() < most && next < end)
			text.push_back(static_cast<char>(*next++));
		return text;
	}

private:
	const std::uint8_t *next;
	const std::uint8_t *end;
};

/* One fuzzer: ends the program if what it tests is wrong for these values. */
void check_input(Input *input);

/* Ends the program with a message, as a fuzzer expects of a fault. */
inline void
require(bool holds, const char *what)
{
	if (holds)
		return;
	std::fprintf(stderr, "violated: %s\n", what);
	std::abort();
}

} // namespace gxy

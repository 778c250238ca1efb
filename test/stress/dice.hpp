/*
 * dice.hpp: the random choices of one turn. They depend on seed, client and turn only, not on the
 * server's answers or their speed.
 */
#pragma once

#include <cstdint>

namespace stress
{

class Dice
{
public:
	Dice(std::uint64_t seed, int client, std::uint64_t turn)
		: state(mixed(seed) ^ mixed(static_cast<std::uint64_t>(client) << 32 | 1) ^
				mixed(turn << 1))
	{
	}

	/* 0 to limit - 1 */
	int below(int limit) { return static_cast<int>(next() % static_cast<std::uint64_t>(limit)); }
	bool per_mille(int chance) { return below(1000) < chance; }

private:
	static std::uint64_t mixed(std::uint64_t x)
	{
		x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
		x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
		return x ^ (x >> 31);
	}

	std::uint64_t next() { return mixed(state += 0x9e3779b97f4a7c15); }

	std::uint64_t state;
};

} // namespace stress

/*
 * dice.hpp: random numbers that are the same on any machine and with any standard library: a seed
 * gives one trace.
 */
#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>

namespace sim
{

class Dice
{
public:
	/* Each stream of a seed is independent of the others. */
	explicit Dice(std::uint64_t seed, std::uint64_t stream = 0)
		: state(mixed(seed + 1) ^ mixed(stream << 32 | 0x9e37))
	{
	}

	std::uint64_t next() { return mixed(state += 0x9e3779b97f4a7c15); }

	/* 0 to limit - 1 */
	int below(int limit) { return static_cast<int>(next() % static_cast<std::uint64_t>(limit)); }

	/* In (0, 1). */
	double unit() { return (static_cast<double>(next() >> 12) + 0.5) * 0x1p-52; }

	bool chance(double probability) { return unit() < probability; }

	double exponential(double mean) { return -mean * std::log(unit()); }

	double normal() /* Box and Muller */
	{
		const double radius = std::sqrt(-2 * std::log(unit()));
		return radius * std::cos(2 * std::numbers::pi * unit());
	}

	/* Log-normal with this mean; sigma is that of the logarithm. */
	double lognormal(double mean, double sigma)
	{
		return mean * std::exp(sigma * normal() - sigma * sigma / 2);
	}

private:
	static std::uint64_t mixed(std::uint64_t x)
	{
		x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
		x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
		return x ^ (x >> 31);
	}

	std::uint64_t state;
};

} // namespace sim

/*
 * random_scene.hpp: random pools for the property tests.
 *
 * One number makes one scene, on every platform, so that a failure can be repeated from the number
 * that it prints.
 */
#pragma once

#include <cstdint>
#include <random>

#include "policy_support.hpp"

namespace gxy
{

class Random
{
public:
	explicit Random(std::uint64_t seed);

	/* From low to high, both included. (The standard distributions differ between libraries.) */
	std::int64_t between(std::int64_t low, std::int64_t high);
	bool percent(std::int64_t chance);

	template <typename T> void shuffle(std::vector<T> &items)
	{
		for (std::size_t left = items.size(); left > 1; left--)
			std::swap(items[left - 1], items[between(0, static_cast<std::int64_t>(left) - 1)]);
	}

private:
	std::mt19937_64 engine_;
};

/*
 * A pool of 0 to 12 servers with distinct names, and a room for it. Most numbers are small, so that
 * ties are common; the shares of online, primary and own servers differ between pools, so that
 * every tier occurs.
 */
Scene random_scene(Random &random);

} // namespace gxy

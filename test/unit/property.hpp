/*
 * property.hpp: the frame of the property tests: thousands of random scenes from a fixed seed.
 *
 * A failure prints the number of its scene; with that number as GXY_SEED in the environment the
 * scene comes first.
 */
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>

#include "random_scene.hpp"

namespace gxy
{

class Property : public testing::Test
{
protected:
	static constexpr int many = 20'000;
	static constexpr int some = 2'000;

	static std::uint64_t first_seed()
	{
		const char *given = std::getenv("GXY_SEED");
		return given != nullptr ? std::strtoull(given, nullptr, 10) : 2171;
	}

	static void SetUpTestSuite() { std::cout << "scenes from GXY_SEED=" << first_seed() << '\n'; }

	/* Calls check(scene, random) for the given number of scenes, until one fails. */
	template <typename Check> static void for_scenes(int count, Check check)
	{
		for (int i = 0; i < count && !HasFailure(); i++)
		{
			const std::uint64_t seed = first_seed() + i;
			Random random(seed);
			const Scene scene = random_scene(random);

			check(scene, random);
			if (HasFailure())
				std::cout << "GXY_SEED=" << seed << " starts with this scene: " << scene;
		}
	}
};

inline Decision
decide(const Scene &scene)
{
	return decide(scene.pool.data(), static_cast<int>(scene.pool.size()), scene.expected,
				  scene.rules);
}

inline PoolFacts
gather_pool_facts(const Scene &scene)
{
	return gather_pool_facts(scene.pool.data(), static_cast<int>(scene.pool.size()), scene.expected,
							 scene.rules);
}

/* The server that was chosen, or none. */
inline const Server *
chosen(const Scene &scene)
{
	const Decision decision = decide(scene);
	return decision.outcome == Outcome::placed ? &scene.pool[decision.server] : nullptr;
}

} // namespace gxy

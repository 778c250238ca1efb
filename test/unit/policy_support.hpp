/*
 * policy_support.hpp: helpers of the policy's tests: names for values, and two short ways to call
 * it.
 */
#pragma once

#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

#include "policy/placement_policy.hpp"

namespace gxy
{

using Pool = std::vector<Server>;

/* gtest finds it when it prints a failure. */
std::ostream &operator<<(std::ostream &out, Standing standing);
std::ostream &operator<<(std::ostream &out, Outcome outcome);
std::ostream &operator<<(std::ostream &out, const Server &server);
std::ostream &operator<<(std::ostream &out, const Rules &rules);

/* The input of one call to the policy. */
struct Scene
{
	Pool pool;
	std::int64_t expected = 10;
	Rules rules = {};
};

std::ostream &operator<<(std::ostream &out, const Scene &scene);

/* The name of the server that decide() chooses, "full" or "no server". */
std::string choice(const Scene &scene);

/* The names of all servers, best first, as precedes() sorts them. */
std::vector<std::string> ranking(const Scene &scene);

/* Adds a room as the extension does: the server's load grows by the room's load. */
void take_room(Server &server, const Scene &scene);

} // namespace gxy

/*
 * peers.hpp: how other balancers of conference servers compute load, each as its own documentation
 * and defaults say. Facts only: no code of theirs is here. doc/balance.md lists the sources.
 *
 * They poll their servers, and correct the load of the last poll by what they have done since.
 */
#pragma once

#include "contender.hpp"

namespace sim
{

/* What a room adds to its server's load in a poll. Age: since the room was assigned. */
double scalelite_load(std::int64_t users, Time age);
double bbblb_load(std::int64_t users, Time age);

/* The load of a server in a poll. Both take the share of capacity in use for the CPU's load. */
double b3lb_load(std::int64_t users, std::int64_t rooms, std::int64_t capacity);
double jicofo_stress(std::int64_t users, std::int64_t added, std::int64_t capacity);

/* How long Jicofo adds a new participant to what the bridge reports. */
inline constexpr Time jicofo_ramp_up = 20 * second;

/* The time between two polls; 0 for a policy that polls nothing. */
Time poll_interval(Method method);

/* Added to the load of the last poll when a room is created, and when a user asks to join it. */
double load_of_creation(Method method);
double load_of_joining(Method method);

} // namespace sim

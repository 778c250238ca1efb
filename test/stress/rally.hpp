/*
 * rally.hpp: turns that all clients take at the same moment, in the same rooms.
 *
 * Races that need two calls within a few milliseconds are rare among a thousand rooms. So every now and then the
 * clients wait for each other, not for long, and then meet: all of them in a room that is new; in rooms many of whose
 * leases have run out, while one of them cleans in a transaction that it holds open; or again and again in one room
 * that some of them renew with every call.
 */
#pragma once

#include "turns.hpp"

namespace stress
{

constexpr std::uint64_t turns_between_rallies = 8;

void rally(Run *run, Client *client, std::uint64_t number);

} // namespace stress

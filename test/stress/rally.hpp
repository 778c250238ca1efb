/*
 * rally.hpp: turns that all clients take at the same moment, in the same rooms.
 *
 * Races between calls within a few milliseconds are rare among a thousand rooms. So the clients
 * sometimes wait for each other, for a limited time, and then act together: all in one new room; in
 * rooms with many expired leases, while one of them cleans in a transaction that it keeps open; or
 * repeatedly in one room that some of them renew with every call.
 */
#pragma once

#include "turns.hpp"

namespace stress
{

constexpr std::uint64_t turns_between_rallies = 8;

void rally(Run *run, Client *client, std::uint64_t number);

} // namespace stress

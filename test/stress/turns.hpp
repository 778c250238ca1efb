/*
 * turns.hpp: the clients' random operations, turn by turn.
 *
 * There are four kinds of rooms, because they meet different races: a few that all clients call for
 * (renewals and waits meet there), some that live long, many that are called for so seldom that
 * their leases expire, and new ones that several clients call for at about the same time.
 */
#pragma once

#include "client.hpp"
#include "dice.hpp"

namespace stress
{

/* Rooms 1 to this many have to exist in the application's table. */
constexpr int known_rooms = 200'000;
constexpr int known_users = 2'000;

/* The mix: one turn of a client. */
void take_turn(Run *run, Client *client, std::uint64_t turn);

/*
 * Acts as a user: calls, connects to the answered server, and leaves after some time. False if a
 * call failed.
 */
bool join(Client *client, Dice *dice, const std::string &room);

/* A room of those that live long, or of those that are called for seldom. */
std::string warm_room(Dice *dice);
std::string cold_room(Dice *dice);

/* A room that only this client calls for, for the phases of new rooms. */
std::string new_room(const Client &client, int number);

} // namespace stress

/*
 * turns.hpp: what clients do at random, turn by turn.
 *
 * Four kinds of rooms, because they run into different things: a few that everybody asks for (renewals and waits meet
 * there), some that live long, many that are asked for so seldom that their leases run out, and new ones that several
 * clients ask for at about the same time.
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

/* As a user does: asks, connects to the answer, and some time leaves again. False if a call failed. */
bool join(Client *client, Dice *dice, const std::string &room);

/* One of those that live long, and of those that are asked for seldom. */
std::string warm_room(Dice *dice);
std::string cold_room(Dice *dice);

/* A room of which nobody but this client has heard, for the phases of new rooms only. */
std::string new_room(const Client &client, int number);

} // namespace stress

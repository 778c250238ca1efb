/*
 * contender.hpp: the policies that are compared.
 */
#pragma once

#include "policy/placement_policy.hpp"
#include "policy/room_size_model.hpp"
#include "trace.hpp"

namespace sim
{

enum class Method : std::uint8_t
{
	ours,		/* decide() and room_load(), as linked into the extension */
	users_only, /* fewest distinct users in sessions, then by position */
	scalelite,	/* this and the next three: peers.hpp */
	bbblb,
	b3lb,
	jicofo,
	two_choices, /* the one with fewer users of two random servers */
	round_robin
};

/* Where "ours" takes expected(r) from. */
enum class Expectation : std::uint8_t
{
	constant, /* avg_room_occupancy */
	learned,
	oracle /* the peak that the room will have */
};

/*
 * Shards: databases that each have a part of the rooms, count only those, and place rooms on the
 * same media servers. More than one is played for "ours" only, without a rebalance.
 */
struct Sharding
{
	int shards = 1;
	/* Each shard has two thirds of the servers in its pool, and a third is in all pools. */
	bool partly = false;
	/* share_loads(): the time between two calls; 0: it is not called. */
	Time told_every = 0;
	bool told_of_rooms = false; /* and after each new room */
};

struct Contender
{
	std::string name;
	Method method = Method::ours;
	Expectation expectation = Expectation::learned;
	gxy::Rules rules = {};
	gxy::SizeModelRules learning = {};
	Sharding sharding = {};
	bool peer = false;		 /* a policy that the default has to beat */
	bool rebalanced = false; /* rebalance() is called each minute while a server is over capacity */
	bool best_at_first = false; /* a peer that beats the default while no room has a history */
};

/* The settings as the extension ships them. */
gxy::Rules default_rules();

/* The default, the oracle, the peers, and variants of the default with one setting changed. */
std::vector<Contender> contenders();

inline constexpr const char *default_name = "ours: learned sizes";
inline constexpr const char *rebalanced_name = "ours, rebalanced";
inline constexpr const char *oracle_name = "oracle: knows every size";

} // namespace sim

/*
 * room_size_model.hpp: how many users a room will have, from what was seen of it before.
 *
 * Like the policy: values in, values out, standard C++ only, and time comes as an argument, so that
 * the unit tests and the simulator link the very code that the worker and the backends run.
 *
 * A room is in use on occasions: from an assignment until it is freed. What is kept of each occasion
 * is its peak, the most users that a sample saw; what is kept of the room is an exponentially
 * weighted mean of its peaks, and how many there were. An occasion needs no end to be reported: the
 * first sample of the next assignment closes it, and who asks for a size before that counts it in.
 */
#pragma once

#include <cstdint>

namespace gxy
{

/* The constants are those that balanced best in the simulator: doc/balance.md. */
struct LearningRules
{
	double rate = 0.25;		/* what the latest peak weighs, once there are 1/rate of them; (0, 1] */
	double shrinkage = 0.5; /* the average counts like this many occasions; >= 0 */
	/* A room that never empties has an occasion a day; microseconds. */
	std::int64_t longest_occasion = 24LL * 60 * 60 * 1000 * 1000;
};

/* What is kept of a room; all zero: nothing is known of it. */
struct RoomHistory
{
	double size = 0;			  /* users: weighted mean of the peaks of closed occasions */
	std::int64_t occasions = 0;	  /* how many of those there were */
	std::int64_t peak = 0;		  /* most users seen on the open occasion; 0: none open */
	std::int64_t assigned_at = 0; /* which assignment the open occasion belongs to; microseconds */
	std::int64_t opened_at = 0;	  /* when its first sample was taken; microseconds */
};

/*
 * Takes a sample: active users at now in a room assigned at assigned_at. True if the history has
 * changed and must be kept, which a room whose peak is behind it never needs. An assignment that
 * nobody was seen in is no occasion.
 */
bool observe(RoomHistory *history, std::int64_t active, std::int64_t assigned_at, std::int64_t now,
			 const LearningRules &rules = {});

/*
 * Users to expect when a room with this history is assigned anew, at least 1: the size it has had,
 * drawn towards the average (of all rooms, >= 1) while the occasions are few.
 */
std::int64_t learned_size(const RoomHistory &history, std::int64_t average,
						  const LearningRules &rules = {});

/* The occasions that learned_size() rests on: the open one counts. */
std::int64_t occasions_seen(const RoomHistory &history);

} // namespace gxy

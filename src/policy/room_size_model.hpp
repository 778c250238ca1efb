/*
 * room_size_model.hpp: how many users a room will have, from what was seen of it before.
 *
 * Like the policy: values in, values out, standard C++ only, and time comes as an argument, so the
 * unit tests and the simulator link the code that the worker and the backends run.
 *
 * An occasion is one use of a room, from its assignment until it is freed. Of an occasion its peak
 * is kept: the most users that a sample saw. Of a room an exponentially weighted mean of its peaks
 * is kept, and their number. The end of an occasion is not reported: the first sample of the next
 * assignment closes it, and learned_size() counts the open occasion as if it were closed.
 */
#pragma once

#include <cstdint>

namespace gxy
{

/* The constants are those that balanced best in the simulator: doc/balance.md. */
struct SizeModelRules
{
	double rate = 0.25;		/* weight of the latest peak, once there are 1/rate peaks; (0, 1] */
	double shrinkage = 0.5; /* the weight of the average, in occasions; >= 0 */
	/* A room that never empties has an occasion a day; microseconds. */
	std::int64_t longest_occasion = 24LL * 60 * 60 * 1000 * 1000;
};

/* What is kept of a room; all zero: the room is unknown. */
struct RoomHistory
{
	double size = 0;			  /* users: weighted mean of the peaks of closed occasions */
	std::int64_t occasions = 0;	  /* how many of those there were */
	std::int64_t peak = 0;		  /* most users seen on the open occasion; 0: none open */
	std::int64_t assigned_at = 0; /* which assignment the open occasion belongs to; microseconds */
	std::int64_t opened_at = 0;	  /* when its first sample was taken; microseconds */
};

/*
 * Adds a sample: active users at the time now, in a room assigned at assigned_at. Returns true if
 * the history has changed and must be stored; a sample at or below the peak changes nothing. An
 * assignment without any active user is not an occasion.
 */
bool observe(RoomHistory *history, std::int64_t active, std::int64_t assigned_at, std::int64_t now,
			 const SizeModelRules &rules = {});

/*
 * Returns the users to expect when a room with this history is assigned again, at least 1: its mean
 * peak, shrunk towards the average of all rooms (>= 1) while it has few occasions:
 * (occasions * size + shrinkage * average) / (occasions + shrinkage).
 */
std::int64_t learned_size(const RoomHistory &history, std::int64_t average,
						  const SizeModelRules &rules = {});

/* The number of occasions that learned_size() uses; the open one counts. */
std::int64_t occasions_seen(const RoomHistory &history);

} // namespace gxy

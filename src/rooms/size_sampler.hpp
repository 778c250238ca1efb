/*
 * size_sampler.hpp: samples how many users are in the rooms, and remembers their sizes.
 */
#pragma once

#include "pg/array.hpp"
#include "pg/compat.hpp"
#include "pg/interner.hpp"
#include "tables/room_sizes.hpp"

namespace gxy
{

class SizeSampler
{
public:
	static constexpr int no_sample = -1;

	/*
	 * Reads the remembered rooms into the current memory context. rooms: estimated number of
	 * assigned rooms.
	 */
	static SizeSampler prepare(TimestampTz now, double rooms);

	/*
	 * Adds an assigned room to the sample. Returns the number for note_users(), or no_sample if
	 * this run does not track the room. Only allocates memory, because the caller holds a page
	 * lock.
	 */
	int track_room(std::string_view room, std::uint64_t hash, TimestampTz assigned_at);

	void note_users(int room_sample, std::int64_t users)
	{
		room_samples[room_sample].users += users;
	}

	/*
	 * Writes the differences: at most limit rows each are added, changed and deleted. Returns true
	 * if the limit has held back work.
	 */
	bool finish(int limit);

private:
	struct Known
	{
		RememberedRoom row; /* its room is not valid after prepare() */
		ItemPointerData tid;
		bool in_use = false;
		bool forgotten = false;
	};

	/* A room whose users are counted. */
	struct RoomSample
	{
		std::string_view room; /* only for an unknown room */
		int known;			   /* index into known; no_sample: unknown room */
		TimestampTz assigned_at;
		std::int64_t users;
	};

	void compare(int limit);
	int forget(RoomSizes *sizes, int count);
	int update(RoomSizes *sizes, int limit);

	bool active = false;
	TimestampTz now = 0;
	std::uint64_t sample_buckets = 1; /* one unknown room out of this many is tracked */
	std::uint64_t sample_bucket = 0;
	int in_use = 0;
	bool more_unknown_rooms = false; /* there are more unknown rooms than the limit */
	HashInterner numbers;			 /* index into known by the hash of the name */
	Array<Known> known;
	Array<RoomSample> room_samples;
	Array<int> changed;					 /* indexes into known */
	Array<RememberedRoom> unknown_rooms; /* unknown rooms in use, at most the limit */
};
static_assert(std::is_trivially_destructible_v<SizeSampler>);

} // namespace gxy

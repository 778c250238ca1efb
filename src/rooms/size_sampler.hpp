/*
 * size_sampler.hpp: samples how many users are in the rooms, and remembers their sizes.
 */
#pragma once

#include "pg/interner.hpp"
#include "tables/room_sizes.hpp"

namespace gxy
{

class SizeSampler
{
public:
	static constexpr int no_sample = -1;

	/* Reads what is remembered, into the current memory context. rooms: how many there may be. */
	static SizeSampler prepare(TimestampTz now, double rooms);

	/*
	 * Takes notice of an assigned room; what its users are to be noted under, or nobody if this time it is of no
	 * interest. Allocates, and no more: runs under a page lock.
	 */
	int track_room(std::string_view room, std::uint64_t hash, TimestampTz assigned_at);

	void note_users(int room_sample, std::int64_t users)
	{
		room_samples[room_sample].users += users;
	}

	/* Writes what is new, up to limit rows each of those added, changed and forgotten; true if it kept something back. */
	bool finish(int limit);

private:
	struct Known
	{
		RememberedRoom row; /* whose id is not there any more */
		ItemPointerData tid;
		bool in_use = false;
		bool forgotten = false;
	};

	/* A room of which the users are counted. */
	struct RoomSample
	{
		std::string_view room; /* only of one that is not known yet */
		int known;			   /* nobody: not yet */
		TimestampTz assigned_at;
		std::int64_t users;
	};

	void compare(int limit);
	int forget(RoomSizes *sizes, int count);
	int update(RoomSizes *sizes, int limit);

	bool active = false;
	TimestampTz now = 0;
	std::uint64_t sample_buckets = 1; /* a stranger out of so many is taken notice of */
	std::uint64_t sample_bucket = 0;
	int in_use = 0;
	bool more_unknown_rooms = false; /* than the limit */
	HashInterner numbers;			 /* of known rooms */
	Array<Known> known;
	Array<RoomSample> room_samples;
	Array<int> changed; /* of known */
	Array<RememberedRoom>
		unknown_rooms; /* rooms in use that are not known yet, no more than the limit */
};
static_assert(std::is_trivially_destructible_v<SizeSampler>);

} // namespace gxy

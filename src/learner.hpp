/*
 * learner.hpp: samples how many users are in the rooms, and remembers their sizes.
 */
#pragma once

#include "numbering.hpp"
#include "room_sizes.hpp"

namespace gxy
{

class Learner
{
public:
	/* Reads what is remembered, into the current memory context. limit: of rows that are going to be written. */
	static Learner prepare(TimestampTz now, int limit);

	/* Takes a sample of an assigned room with users in it. Allocates, and no more: runs under a page lock. */
	void sample(std::string_view room, TimestampTz assigned_at, std::int64_t users);

	/* Writes what is new; true if the limit has kept something back. */
	bool finish();

private:
	struct Known
	{
		RememberedRoom row; /* whose id is not there any more */
		ItemPointerData tid;
		bool in_use = false;
		bool forgotten = false;
	};

	int forget(RoomSizes *sizes, int count);
	int update(RoomSizes *sizes);

	bool active = false;
	TimestampTz now = 0;
	int limit = 0;
	int in_use = 0;
	bool more_strangers = false; /* than the limit */
	Numbering numbers;			 /* of known rooms */
	Array<Known> known;
	Array<int> changed; /* of known */
	Array<RememberedRoom>
		strangers; /* rooms in use that are not known yet, no more than the limit */
};
static_assert(std::is_trivially_destructible_v<Learner>);

} // namespace gxy

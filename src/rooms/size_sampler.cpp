/*
 * size_sampler.cpp: compares the rooms in use with their remembered sizes.
 *
 * A room is written when an occasion of it begins and when it has more users than before. So a run
 * over rooms that have reached their size writes nothing. The end of an occasion is not written:
 * the next occasion closes it, and a reader before that counts it in (policy/room_size_model.hpp).
 * So neither a crash nor a room that is freed and assigned again between two runs loses an
 * occasion, and release_room() writes nothing here.
 *
 * The table has at most max_learned_rooms rows: the rooms that were not seen for longest are
 * deleted first. Rooms in use stay; if all remembered rooms are in use, new ones are not added. One
 * run tracks only a random sample of the rooms that are not known yet, which limits its time and
 * memory.
 */
#include "rooms/size_sampler.hpp"

#include "pg/settings.hpp"
#include "policy/room_size_model.hpp"

namespace gxy
{

/* About how many unknown rooms one run tracks. */
static constexpr double unknown_rooms_of_interest = 50000;

SizeSampler
SizeSampler::prepare(TimestampTz now, double rooms)
{
	SizeSampler sampler;

	/*
	 * In a transaction block the rows would stay locked until its end; the next run sees the rooms
	 * as well.
	 */
	if (setting::max_learned_rooms == 0 || IsTransactionBlock())
		return sampler;

	std::optional<RoomSizes> sizes = RoomSizes::open(AccessShareLock);

	if (!sizes)
		return sampler;
	sampler.active = true;
	sampler.now = now;
	sampler.sample_buckets = 1 + static_cast<std::uint64_t>(rooms / unknown_rooms_of_interest);
	sampler.sample_bucket =
		pg_prng_uint64_range(&pg_global_prng_state, 0, sampler.sample_buckets - 1);
	sampler.numbers.prepare();
	sizes->for_each_row([&sampler](const RememberedRoom &row, ItemPointer tid) {
		bool fresh;
		Known room = {.row = row, .tid = *tid};

		if (sampler.numbers.number(name_hash(row.room), &fresh) == sampler.known.count)
			sampler.known.push(room);
	});
	sizes->close();
	return sampler;
}

int
SizeSampler::track_room(std::string_view room, std::uint64_t hash, TimestampTz assigned_at)
{
	RoomSample room_sample = {
		.room = {}, .known = no_sample, .assigned_at = assigned_at, .users = 0};

	if (!active)
		return no_sample;
	room_sample.known = numbers.find(hash);
	if (room_sample.known == no_sample)
	{
		/* The low bits of the hash choose its place in hash tables, so use the high ones. */
		if ((hash >> 32) % sample_buckets != sample_bucket)
			return no_sample;
		room_sample.room = copy_of(room);
	}
	room_samples.push(room_sample);
	return room_samples.count - 1;
}

/*
 * Compares the users of each room with what is remembered of it, and fills changed and
 * unknown_rooms.
 */
void
SizeSampler::compare(int limit)
{
	for (const RoomSample &room_sample : room_samples)
	{
		std::int64_t users = std::min<std::int64_t>(room_sample.users, max_expected_users);
		RememberedRoom unknown_room = {};

		if (users <= 0)
			continue;
		if (room_sample.known != no_sample)
		{
			known[room_sample.known].in_use = true;
			in_use++;
			if (observe(&known[room_sample.known].row.history, users, room_sample.assigned_at, now))
				changed.push(room_sample.known);
		}
		else if (unknown_rooms.count == limit)
			more_unknown_rooms = true;
		else if (observe(&unknown_room.history, users, room_sample.assigned_at, now))
		{
			unknown_room.room = room_sample.room;
			unknown_room.updated_at = now;
			unknown_rooms.push(unknown_room);
		}
	}
}

/* Deletes count rows, those not seen for longest first. Returns how many were deleted. */
int
SizeSampler::forget(RoomSizes *sizes, int count)
{
	int *order = static_cast<int *>(palloc(sizeof(int) * static_cast<Size>(known.count)));
	int forgotten = 0;

	for (int i = 0; i < known.count; i++)
		order[i] = i;
	std::nth_element(order, order + count - 1, order + known.count, [this](int a, int b) {
		const Known &left = known[a];
		const Known &right = known[b];

		return left.in_use != right.in_use ? right.in_use
										   : left.row.updated_at < right.row.updated_at;
	});
	for (int i = 0; i < count; i++)
	{
		Known &room = known[order[i]];

		room.forgotten = true;
		forgotten += sizes->remove(&room.tid) ? 1 : 0;
	}
	return forgotten;
}

int
SizeSampler::update(RoomSizes *sizes, int limit)
{
	int updated = 0;

	for (int number : changed)
	{
		Known &room = known[number];

		if (updated == limit)
			break;
		if (!room.forgotten && sizes->update(&room.tid, room.row.history, now))
			updated++;
	}
	return updated;
}

bool
SizeSampler::finish(int limit)
{
	if (!active)
		return false;
	compare(limit);

	int most = setting::max_learned_rooms;
	int welcome = std::clamp(most - in_use, 0, unknown_rooms.count);
	int surplus = known.count + welcome - most;

	if (changed.count == 0 && welcome == 0 && surplus <= 0)
		return false;

	std::optional<RoomSizes> sizes = RoomSizes::open(RowExclusiveLock);

	if (!sizes)
		return false;

	int forgotten = surplus > 0 ? forget(&*sizes, std::min(surplus, limit)) : 0;
	int updated = update(&*sizes, limit);
	int space = most - (known.count - forgotten);
	const RememberedRoom *next = unknown_rooms.begin();
	const RememberedRoom *end = next + std::clamp(space, 0, welcome);
	int inserted = next == end ? 0 : sizes->insert([&next, end](RememberedRoom *room) {
		if (next == end)
			return false;
		*room = *next++;
		return true;
	});

	sizes->close();
	/*
	 * Rows that other transactions have locked wait for the next run. Return true only if the limit
	 * held back work.
	 */
	return (surplus > limit && forgotten > 0) || (updated == limit && changed.count > limit) ||
		   (more_unknown_rooms && welcome == unknown_rooms.count && inserted > 0);
}

} // namespace gxy

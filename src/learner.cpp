/*
 * learner.cpp: one look at the rooms, compared with what is remembered of them.
 *
 * A room is written when an occasion of it begins and when more users than before are seen on it, so a run over rooms
 * that have reached their size writes nothing. The end of an occasion is not written at all: the next one closes it, and
 * whoever asks before that counts it in (learning.hpp). So neither a crash nor a room that is freed and assigned again
 * between two looks loses an occasion, and release_room() has nothing to do with it.
 *
 * The table is bounded: whoever was not seen for longest makes room for a new one. Rooms in use stay; where all that may
 * be remembered are in use, new ones are not.
 */
#include "learner.hpp"

namespace gxy
{

Learner
Learner::prepare(TimestampTz now, int limit)
{
	Learner learner;

	/* In a transaction block the rows would stay locked until its end; the next look sees the rooms as well. */
	if (setting::max_learned_rooms == 0 || IsTransactionBlock())
		return learner;

	std::optional<RoomSizes> sizes = RoomSizes::open(AccessShareLock);

	if (!sizes)
		return learner;
	learner.active = true;
	learner.now = now;
	learner.limit = limit;
	learner.numbers.prepare();
	sizes->for_each_row([&learner](const RememberedRoom &row, ItemPointer tid) {
		bool fresh;
		Known room = {.row = row, .tid = *tid};

		(void) learner.numbers.number(row.room, &fresh);
		learner.known.push(room);
	});
	sizes->close();
	return learner;
}

void
Learner::sample(std::string_view room, TimestampTz assigned_at, std::int64_t users)
{
	int number = active && users > 0 ? numbers.find(room) : -1;
	RememberedRoom stranger = {};

	if (!active || users <= 0)
		return;
	users = std::min<std::int64_t>(users, max_expected_users);
	if (number >= 0)
	{
		known[number].in_use = true;
		in_use++;
		if (observe(&known[number].row.history, users, assigned_at, now))
			changed.push(number);
	}
	else if (strangers.count == limit)
		more_strangers = true;
	else if (observe(&stranger.history, users, assigned_at, now))
	{
		stranger.room = copy_of(room);
		stranger.updated_at = now;
		strangers.push(stranger);
	}
}

/* Deletes rows that were not seen for longest; how many. */
int
Learner::forget(RoomSizes *sizes, int count)
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
Learner::update(RoomSizes *sizes)
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
Learner::finish()
{
	int most = setting::max_learned_rooms;
	int welcome = std::clamp(most - in_use, 0, strangers.count);
	int surplus = known.count + welcome - most;

	if (!active || (changed.count == 0 && welcome == 0 && surplus <= 0))
		return false;

	std::optional<RoomSizes> sizes = RoomSizes::open(RowExclusiveLock);

	if (!sizes)
		return false;

	int forgotten = surplus > 0 ? forget(&*sizes, std::min(surplus, limit)) : 0;
	int updated = update(&*sizes);
	int space = most - (known.count - forgotten);
	const RememberedRoom *next = strangers.begin();
	const RememberedRoom *end = next + std::clamp(space, 0, welcome);
	int inserted = next == end ? 0 : sizes->insert([&next, end](RememberedRoom *room) {
		if (next == end)
			return false;
		*room = *next++;
		return true;
	});

	sizes->close();
	/* What others had in hand is left to the next run: only what the limit kept back is worth another go at once. */
	return (surplus > limit && forgotten > 0) || (updated == limit && changed.count > limit) ||
		   (more_strangers && welcome == strangers.count && inserted > 0);
}

} // namespace gxy

/*
 * session_index.cpp: builds the index of live sessions.
 *
 * The sessions of each user form a linked list. A user in two rooms of one server counts once on
 * that server, so placement/server_load.cpp counts the users of a server by walking the list of
 * each user. Most lists have one session.
 */
#include "application/session_index.hpp"

#include "pg/settings.hpp"
#include "shared/writable_since.hpp"

namespace gxy
{

struct PairEntry
{
	std::uint64_t user_and_room;
	int first_session; /* head of the list over next_of_pair */
	char status;
};

inline std::uint32_t
hash_of(std::uint64_t pair)
{
	return hash_combine(murmurhash32(static_cast<std::uint32_t>(pair >> 32)),
						murmurhash32(static_cast<std::uint32_t>(pair)));
}

#define SH_PREFIX pairs
#define SH_ELEMENT_TYPE PairEntry
#define SH_KEY_TYPE std::uint64_t
#define SH_KEY user_and_room
#define SH_HASH_KEY(table, key) hash_of(key)
#define SH_EQUAL(table, a, b) ((a) == (b))
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/* Sizes of the last index of this backend, used as initial table sizes of the next one. */
static int last_rooms = 0;
static int last_users = 0;

void
SessionIndexTables::prepare(SessionColumns wanted)
{
	has_servers = wanted == SessionColumns::with_servers;
	context = CurrentMemoryContext;
	room_numbers.prepare(std::max(last_rooms, 256));
	user_numbers.prepare(std::max(last_users, 256));
	gateway_numbers.prepare();
	user_and_room = pairs_create(context, 256, nullptr);
	first_anonymous = none;
	last_room = none;
	last_gateway = none;
}

int
SessionIndexTables::number_of_room(const SessionRow &row)
{
	if (!row.room_known)
		return none;

	bool fresh;
	std::uint64_t hash = name_hash(row.room);

	if (last_room != none && rooms[last_room].hash == hash)
		return last_room;
	last_room = room_numbers.number(hash, &fresh);
	if (fresh)
		rooms.push(OccupiedRoom{.hash = hash});
	return last_room;
}

int
SessionIndexTables::number_of_gateway(const SessionRow &row)
{
	if (row.gateway.empty())
		return none;
	if (last_gateway != none && gateways[last_gateway] == row.gateway)
		return last_gateway;

	bool fresh;

	last_gateway = gateway_numbers.number(row.gateway, &fresh);
	if (fresh)
		gateways.push(copy_of(row.gateway));
	return last_gateway;
}

PairEntry *
SessionIndexTables::pair_of(int user, int room, bool *known)
{
	return pairs_insert(user_and_room,
						static_cast<std::uint64_t>(user) << 32 | static_cast<std::uint32_t>(room),
						known);
}

/*
 * Links a session, which add() will append to sessions, to the other sessions of its user. Returns
 * false if the user has a session in the same room through the same gateway: that session counts
 * this one too, and this one is not stored.
 */
bool
SessionIndexTables::link_to_user(const SessionRow &row, Session *session)
{
	if (!row.user_known)
	{
		session->next_of_user = first_anonymous;
		first_anonymous = sessions.count;
		return true;
	}

	bool fresh;
	int user = user_numbers.number(name_hash(row.user), &fresh);

	if (fresh)
	{
		first_of_user.push(sessions.count);
		return true;
	}

	bool again;
	int first = first_of_user[user];
	PairEntry *pair = pair_of(user, sessions[first].room, &again);

	/* Most users have one session, so the first session enters user_and_room with the second. */
	if (!again)
		pair->first_session = first;
	pair = pair_of(user, session->room, &again);
	if (again)
	{
		session->counts = false;
		session->next_of_pair = pair->first_session;
		for (int i = pair->first_session; i != none; i = sessions[i].next_of_pair)
			if (sessions[i].gateway == session->gateway)
			{
				sessions[i].sessions++;
				return false;
			}
	}
	pair->first_session = sessions.count;
	session->next_of_user = first_of_user[user];
	first_of_user[user] = sessions.count;
	return true;
}

void
SessionIndexTables::add(const SessionRow &row)
{
	MemoryContext caller = MemoryContextSwitchTo(context);
	Session session = {.room = number_of_room(row),
					   .gateway = number_of_gateway(row),
					   .next_of_user = none,
					   .next_of_pair = none,
					   .next_of_room = none,
					   .counts = true,
					   .sessions = 1};

	if (link_to_user(row, &session))
	{
		if (session.room != none)
		{
			OccupiedRoom &room = rooms[session.room];

			session.next_of_room = room.first_session;
			room.first_session = sessions.count;
			room.users += session.counts ? 1 : 0;
		}
		sessions.push(session);
	}
	MemoryContextSwitchTo(caller);
}

TimestampTz
alive_since(TimestampTz now)
{
	return setting::dead_session_timeout == 0 ? DT_NOBEGIN
											  : now - microseconds(setting::dead_session_timeout);
}

SessionIndex
SessionIndex::build(const Attachment &sessions, SessionColumns wanted, TimestampTz now,
					Deadline deadline)
{
	SessionIndex session_index;

	session_index.counts_from = ages_count_from();
	if (!sessions.exists())
		return session_index;

	SessionIndexTables *tables =
		static_cast<SessionIndexTables *>(palloc0(sizeof(SessionIndexTables)));

	tables->prepare(wanted);
	read_sessions(sessions, wanted, alive_since(now), deadline,
				  [tables](const SessionRow &row) { tables->add(row); });
	last_rooms = tables->rooms.count;
	last_users = tables->first_of_user.count;
	session_index.tables = tables;
	session_index.is_attached = true;
	return session_index;
}

std::int64_t
SessionIndex::users_in(std::uint64_t room) const
{
	int number = is_attached ? tables->room_numbers.find(room) : none;

	return number != none ? tables->rooms[number].users : 0;
}

/* Calls visit(const Session &) for each stored session of a room, by its number or none. */
template <typename F>
static void
for_each_session(const SessionIndexTables *tables, int room, F visit)
{
	if (room == none)
		return;
	for (int i = tables->rooms[room].first_session; i != none; i = tables->sessions[i].next_of_room)
		visit(tables->sessions[i]);
}

static int
number_of(const SessionIndexTables *tables, std::string_view room)
{
	return tables != nullptr ? tables->room_numbers.find(name_hash(room)) : none;
}

std::int64_t
SessionIndex::users_elsewhere(std::string_view room, std::string_view server) const
{
	return users_elsewhere(number_of(tables, room),
						   is_attached ? tables->gateway_numbers.find(server) : none);
}

std::int64_t
SessionIndex::users_elsewhere(int room, int here) const
{
	std::int64_t users = 0;
	auto elsewhere = [here](const Session &session) {
		return session.gateway != none && session.gateway != here;
	};

	for_each_session(tables, room, [&](const Session &session) {
		bool counted = false;

		/* A user with sessions on two other servers counts once. */
		for (int i = session.next_of_pair; i != none; i = tables->sessions[i].next_of_pair)
			counted = counted || elsewhere(tables->sessions[i]);
		users += elsewhere(session) && !counted ? 1 : 0;
	});
	return users;
}

std::int64_t
SessionIndex::sessions_naming(std::string_view room, std::string_view server) const
{
	int here = is_attached ? tables->gateway_numbers.find(server) : none;
	std::int64_t sessions = 0;

	for_each_session(tables, number_of(tables, room), [&sessions, here](const Session &session) {
		if (session.gateway != none && session.gateway == here)
			sessions += session.sessions;
	});
	return sessions;
}

} // namespace gxy

/*
 * load.cpp: counts users by server.
 *
 * A census numbers the rooms, users and gateways that the sessions name, and chains the sessions of each user. A user
 * in two rooms of one server counts once there, so users are counted per server by walking each user's chain; nearly
 * every chain has one link. What remains to be done under the placement lock is a lookup per assignment and a step per
 * session.
 */
#include "load.hpp"

namespace gxy
{
namespace
{

constexpr int none = -1;

struct NameEntry
{
	std::string_view name;
	int number;
	std::uint32_t hash;
	char status;
};

struct PairEntry
{
	std::uint64_t user_and_room;
	int first_session; /* of this user in this room, chained by next_of_pair */
	char status;
};

inline std::uint32_t
hash_of(std::string_view name)
{
	return hash_bytes(reinterpret_cast<const unsigned char *>(name.data()),
					  static_cast<int>(name.size()));
}

inline std::uint32_t
hash_of(std::uint64_t pair)
{
	return hash_combine(murmurhash32(static_cast<std::uint32_t>(pair >> 32)),
						murmurhash32(static_cast<std::uint32_t>(pair)));
}

#define SH_PREFIX names
#define SH_ELEMENT_TYPE NameEntry
#define SH_KEY_TYPE std::string_view
#define SH_KEY name
#define SH_HASH_KEY(table, key) hash_of(key)
#define SH_EQUAL(table, a, b) ((a) == (b))
#define SH_STORE_HASH
#define SH_GET_HASH(table, entry) (entry)->hash
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

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

/* Numbers names in the order of their first appearance. */
class Numbering
{
public:
	void prepare() { table = names_create(CurrentMemoryContext, 256, nullptr); }

	/* The number of a name; fresh: it got it just now. */
	int number(std::string_view name, bool *fresh)
	{
		bool known;
		NameEntry *entry = names_insert(table, name, &known);

		if (!known)
		{
			entry->name = copy_of(name);
			entry->number = static_cast<int>(table->members) - 1;
		}
		*fresh = !known;
		return entry->number;
	}

	int find(std::string_view name) const
	{
		NameEntry *entry = table != nullptr ? names_lookup(table, name) : nullptr;

		return entry != nullptr ? entry->number : none;
	}

private:
	names_hash *table = nullptr;
};

struct Session
{
	int room;	 /* none: not in a room */
	int gateway; /* none: not said */
	int next_of_user;
	int next_of_pair;
	int next_of_room;
	bool counts; /* among the users of its room: the first session of its user there */
};

struct Room
{
	std::int64_t users = 0;
	int first_session = none;
};

} // namespace

struct CensusTables
{
	MemoryContext context;
	Numbering room_numbers;
	Numbering user_numbers;
	Numbering gateway_numbers;
	pairs_hash *user_and_room;
	Array<Session> sessions;
	Array<Room> rooms;
	Array<std::string_view> gateways;
	Array<int> first_of_user;
	int first_anonymous; /* every session without a user id is a user of its own */

	void prepare();
	void add(const SessionRow &row);

private:
	int number_of_room(const SessionRow &row);
	int number_of_gateway(const SessionRow &row);
	bool chain_to_user(const SessionRow &row, Session *session);
};
static_assert(std::is_trivially_destructible_v<CensusTables>);

void
CensusTables::prepare()
{
	context = CurrentMemoryContext;
	room_numbers.prepare();
	user_numbers.prepare();
	gateway_numbers.prepare();
	user_and_room = pairs_create(context, 256, nullptr);
	first_anonymous = none;
}

int
CensusTables::number_of_room(const SessionRow &row)
{
	bool fresh = false;
	int number = row.room_known ? room_numbers.number(row.room, &fresh) : none;

	if (fresh)
		rooms.push(Room());
	return number;
}

int
CensusTables::number_of_gateway(const SessionRow &row)
{
	bool fresh = false;
	int number = !row.gateway.empty() ? gateway_numbers.number(row.gateway, &fresh) : none;

	if (fresh)
		gateways.push(copy_of(row.gateway));
	return number;
}

/* False if the user has another session in the same room that names the same gateway. */
bool
CensusTables::chain_to_user(const SessionRow &row, Session *session)
{
	if (!row.user_known)
	{
		session->next_of_user = first_anonymous;
		first_anonymous = sessions.count;
		return true;
	}

	bool fresh;
	bool again;
	int user = user_numbers.number(row.user, &fresh);
	std::uint64_t key =
		static_cast<std::uint64_t>(user) << 32 | static_cast<std::uint32_t>(session->room);
	PairEntry *pair = pairs_insert(user_and_room, key, &again);

	if (again)
	{
		session->counts = false;
		session->next_of_pair = pair->first_session;
		for (int i = pair->first_session; i != none; i = sessions[i].next_of_pair)
			if (sessions[i].gateway == session->gateway)
				return false;
	}
	pair->first_session = sessions.count;
	if (fresh)
		first_of_user.push(none);
	session->next_of_user = first_of_user[user];
	first_of_user[user] = sessions.count;
	return true;
}

void
CensusTables::add(const SessionRow &row)
{
	MemoryContext caller = MemoryContextSwitchTo(context);
	Session session = {.room = number_of_room(row),
					   .gateway = number_of_gateway(row),
					   .next_of_user = none,
					   .next_of_pair = none,
					   .next_of_room = none,
					   .counts = true};

	if (chain_to_user(row, &session))
	{
		if (session.room != none)
		{
			Room &room = rooms[session.room];

			session.next_of_room = room.first_session;
			room.first_session = sessions.count;
			room.users += session.counts ? 1 : 0;
		}
		sessions.push(session);
	}
	MemoryContextSwitchTo(caller);
}

Census
Census::take(const Attachment &sessions, TimestampTz now, Deadline deadline)
{
	Census census;

	if (!sessions.exists())
		return census;

	CensusTables *tables = static_cast<CensusTables *>(palloc0(sizeof(CensusTables)));
	TimestampTz alive_since = setting::dead_session_timeout == 0
								  ? DT_NOBEGIN
								  : now - microseconds(setting::dead_session_timeout);

	tables->prepare();
	read_sessions(sessions, alive_since, deadline,
				  [tables](const SessionRow &row) { tables->add(row); });
	census.tables = tables;
	census.is_attached = true;
	return census;
}

std::int64_t
Census::users_in(std::string_view room) const
{
	int number = is_attached ? tables->room_numbers.find(room) : none;

	return number != none ? tables->rooms[number].users : 0;
}

template <typename F>
static std::int64_t
count_sessions(const CensusTables *tables, std::string_view room, F counts)
{
	int number = tables != nullptr ? tables->room_numbers.find(room) : none;
	std::int64_t count = 0;

	if (number == none)
		return 0;
	for (int i = tables->rooms[number].first_session; i != none;
		 i = tables->sessions[i].next_of_room)
		if (counts(tables->sessions[i].gateway))
			count++;
	return count;
}

std::int64_t
Census::users_elsewhere(std::string_view room, std::string_view server) const
{
	int here = is_attached ? tables->gateway_numbers.find(server) : none;

	return count_sessions(tables, room,
						  [here](int gateway) { return gateway != none && gateway != here; });
}

std::int64_t
Census::sessions_naming(std::string_view room, std::string_view server) const
{
	int here = is_attached ? tables->gateway_numbers.find(server) : none;

	return count_sessions(tables, room,
						  [here](int gateway) { return gateway != none && gateway == here; });
}

RoomUse
room_use(const Assignment &row, const Pool &pool, const Census &census, const Rules &rules,
		 TimestampTz now)
{
	const Pin *pin = pool.pins.count > 0 ? pool.pin_of(row.room) : nullptr;
	std::int64_t pinned_size = pin != nullptr ? pin->expected_users.value_or(0) : 0;
	std::int64_t expected = row.expected_users ? *row.expected_users : rules.avg_room_occupancy;
	RoomUse use;

	use.active = census.attached() ? census.users_in(row.room) : row.reported_users.value_or(0);
	use.active_known = census.attached() || row.reported_users.has_value();
	use.expected = std::max(expected, pinned_size);
	use.age = now - row.assigned_at;
	use.pinned_size = pinned_size > 0;
	use.leased = now - row.leased_from() < microseconds(setting::assignment_grace);
	return use;
}

std::int64_t
ServerLoad::load(const Rules &rules) const
{
	return rules.metric == LoadMetric::rooms ? rooms * rules.avg_room_occupancy : users + expected;
}

namespace
{

/* Adds up the distinct users of each server, by walking the sessions of each user. */
class UserCount
{
public:
	UserCount(const CensusTables *tables, const int *server_of_room, const int *server_of_gateway,
			  int servers, ServerLoad *loads)
		: tables(tables), server_of_room(server_of_room), server_of_gateway(server_of_gateway),
		  loads(loads), last_user(static_cast<int *>(palloc0(sizeof(int) * servers))),
		  last_connected(static_cast<int *>(palloc0(sizeof(int) * servers)))
	{
	}

	void run()
	{
		for (int first : tables->first_of_user)
		{
			user++;
			for (int i = first; i != none; i = tables->sessions[i].next_of_user)
				add(tables->sessions[i]);
		}
		for (int i = tables->first_anonymous; i != none; i = tables->sessions[i].next_of_user)
		{
			user++;
			add(tables->sessions[i]);
		}
	}

	static constexpr int unassigned = -2;

private:
	void add(const Session &session)
	{
		int named = session.gateway != none ? server_of_gateway[session.gateway] : none;
		int server = session.room != none ? server_of_room[session.room] : unassigned;

		if (server == unassigned)
			server = named;
		if (server >= 0 && last_user[server] != user)
		{
			last_user[server] = user;
			loads[server].users++;
		}
		if (named >= 0 && last_connected[named] != user)
		{
			last_connected[named] = user;
			loads[named].connected++;
		}
	}

	const CensusTables *tables;
	const int *server_of_room;
	const int *server_of_gateway;
	ServerLoad *loads;
	int *last_user;
	int *last_connected;
	int user = 0;
};
static_assert(std::is_trivially_destructible_v<UserCount>);

} // namespace

Tally
Tally::count(const Assignments &assignments, const Pool &pool, const Census &census,
			 const Rules &rules, Snapshot snapshot, TimestampTz now)
{
	const CensusTables *tables = census.tables;
	int servers = pool.servers.count;
	Tally tally;
	Numbering server_numbers;
	bool fresh;
	int *server_of_room = nullptr;
	int *server_of_gateway = nullptr;

	tally.loads = static_cast<ServerLoad *>(palloc0(sizeof(ServerLoad) * std::max(servers, 1)));
	server_numbers.prepare();
	for (const PoolServer &server : pool.servers)
		(void) server_numbers.number(server.name, &fresh);
	if (tables != nullptr)
	{
		server_of_room = static_cast<int *>(palloc(sizeof(int) * (tables->rooms.count + 1)));
		std::fill_n(server_of_room, tables->rooms.count, UserCount::unassigned);
		server_of_gateway = static_cast<int *>(palloc(sizeof(int) * (tables->gateways.count + 1)));
		for (int i = 0; i < tables->gateways.count; i++)
			server_of_gateway[i] = server_numbers.find(tables->gateways[i]);
	}

	assignments.for_each_room(snapshot, [&](const Assignment &row) {
		int server = server_numbers.find(row.server);
		int room = tables != nullptr ? tables->room_numbers.find(row.room) : none;

		if (room != none)
			server_of_room[room] = server;
		if (server == none)
			return;

		RoomUse use = room_use(row, pool, census, rules, now);

		tally.loads[server].rooms++;
		tally.loads[server].expected +=
			std::max<std::int64_t>(0, room_load(use, rules) - use.active);
		if (tables == nullptr)
			tally.loads[server].users += use.active;
	});
	if (tables != nullptr)
		UserCount(tables, server_of_room, server_of_gateway, std::max(servers, 1), tally.loads)
			.run();
	return tally;
}

} // namespace gxy

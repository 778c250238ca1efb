/*
 * session_index.hpp: an in-memory index of the application's live sessions by room and user.
 *
 * A backend builds it from the attached relation of sessions and uses it for one call. It lives in
 * the memory context that is current when it is built. It takes no lock besides the one that
 * reading the relation takes.
 */
#pragma once

#include "application/source_query.hpp"
#include "application/source_reader.hpp"
#include "pg/array.hpp"
#include "pg/compat.hpp"
#include "pg/interner.hpp"
#include "pg/lock_timeout.hpp"
#include "servers/pool.hpp"

namespace gxy
{

inline constexpr int none = -1;

/* A user's sessions in one room through one gateway. A room, gateway or link may be none. */
struct Session
{
	int room;		  /* index into rooms */
	int gateway;	  /* index into gateways */
	int next_of_user; /* next session of the same user; index into sessions */
	int next_of_pair; /* next session of the same user in the same room */
	int next_of_room; /* next session in the same room */
	bool counts;	  /* the first session of its user in its room: adds 1 to the room's users */
	int sessions;	  /* rows of the relation with this user, room and gateway */
};

struct OccupiedRoom
{
	std::uint64_t hash;		  /* name_hash() of the room */
	std::int64_t users = 0;	  /* distinct users */
	int first_session = none; /* head of the list over next_of_room */
};

struct pairs_hash;
struct PairEntry;

/*
 * The tables of the index. Rooms, users and gateways have numbers from 0 in the order of their
 * first session. Rooms and users, of which there may be a million, are identified by name_hash().
 */
struct SessionIndexTables
{
	MemoryContext context; /* of all tables */
	HashInterner room_numbers;
	HashInterner user_numbers;
	NameInterner gateway_numbers;
	pairs_hash *user_and_room;
	Array<Session> sessions;
	Array<OccupiedRoom> rooms;
	Array<std::string_view> gateways;
	Array<int> first_of_user;
	bool has_servers;	 /* sessions were read with SessionColumns::with_servers */
	int first_anonymous; /* list of the sessions without user id; each counts as one user */
	int last_room;		 /* of the previous row: a hit saves the hash lookup */
	int last_gateway;	 /* likewise */

	void prepare(SessionColumns wanted);
	void add(const SessionRow &row);

private:
	int number_of_room(const SessionRow &row);
	int number_of_gateway(const SessionRow &row);
	PairEntry *pair_of(int user, int room, bool *known);
	bool link_to_user(const SessionRow &row, Session *session);
};
static_assert(std::is_trivially_destructible_v<SessionIndexTables>);

/* Returns the time before which a session counts as dead; DT_NOBEGIN if sessions never die. */
TimestampTz alive_since(TimestampTz now);

class SessionIndex
{
public:
	/*
	 * Reads the attached sessions and returns their index, allocated in the current memory
	 * context; an empty index if no sessions are attached. Raises what read_sessions() raises.
	 */
	static SessionIndex build(const Attachment &sessions, SessionColumns wanted, TimestampTz now,
							  Deadline deadline);

	bool attached() const { return is_attached; }

	/* Returns from when on leases count: ages_count_from() at the time of build(). */
	TimestampTz leases_count_from() const { return counts_from; }

	/* Returns the number of distinct users in live sessions of a room. */
	std::int64_t users_in(std::string_view room) const { return users_in(name_hash(room)); }
	std::int64_t users_in(std::uint64_t room) const;

	/* Returns how many of them have a session that names another server than the given one. */
	std::int64_t users_elsewhere(std::string_view room, std::string_view server) const;
	/* The same by the number of the room, and by that of the server among the gateways, or none. */
	std::int64_t users_elsewhere(int room, int gateway) const;

	/* Returns the number of live sessions of a room that name the server. */
	std::int64_t sessions_naming(std::string_view room, std::string_view server) const;

	/*
	 * Returns whether the users who are connected to a server are known: some session names a
	 * server, or there is none.
	 */
	bool knows_servers() const
	{
		return tables != nullptr && (tables->gateways.count > 0 || tables->sessions.count == 0);
	}

	/* Returns nullptr if no sessions are attached. */
	const SessionIndexTables *details() const { return tables; }

private:
	SessionIndexTables *tables = nullptr;
	bool is_attached = false;
	TimestampTz counts_from = DT_NOBEGIN;
};

} // namespace gxy

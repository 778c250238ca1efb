/*
 * session_index.hpp: who is in which room, and on which server, by the application's live sessions.
 */
#pragma once

#include "pg/interner.hpp"
#include "application/source_reader.hpp"

namespace gxy
{

inline constexpr int none = -1;

/* One user's presence in one room through one gateway. */
struct Session
{
	int room;	 /* none: not in a room */
	int gateway; /* none: not said */
	int next_of_user;
	int next_of_pair;
	int next_of_room;
	bool counts;  /* among the users of its room: the first session of its user there */
	int sessions; /* that are alike, this one included */
};

struct OccupiedRoom
{
	std::uint64_t name; /* its hash */
	std::int64_t users = 0;
	int first_session = none;
};

struct pairs_hash;
struct PairEntry;

/*
 * Rooms, users and gateways are numbered in the order of their first session; rooms and users, of which there may be a
 * million, by the hashes of their names.
 */
struct SessionIndexTables
{
	MemoryContext context;
	HashInterner room_numbers;
	HashInterner user_numbers;
	NameInterner gateway_numbers;
	pairs_hash *user_and_room;
	Array<Session> sessions;
	Array<OccupiedRoom> rooms;
	Array<std::string_view> gateways;
	Array<int> first_of_user;
	bool has_servers;	 /* the sessions were read with the servers they name */
	int first_anonymous; /* every session without a user id is a user of its own */
	int last_room,
		last_gateway; /* sessions of one room mostly come one after the other, and so do those of a gateway */

	void prepare(SessionColumns wanted);
	void add(const SessionRow &row);

private:
	int number_of_room(const SessionRow &row);
	int number_of_gateway(const SessionRow &row);
	PairEntry *pair_of(int user, int room, bool *known);
	bool chain_to_user(const SessionRow &row, Session *session);
};
static_assert(std::is_trivially_destructible_v<SessionIndexTables>);

/* A session last seen before this time is dead. */
TimestampTz alive_since(TimestampTz now);

/* The live sessions, by room and user. */
class SessionIndex
{
public:
	/* Reads the attached sessions; an empty census if none are attached. Kept in the current memory context. */
	static SessionIndex take(const Attachment &sessions, SessionColumns wanted, TimestampTz now,
							 Deadline deadline);

	bool attached() const { return is_attached; }

	/* Distinct users in live sessions of a room. */
	std::int64_t users_in(std::string_view room) const { return users_in(name_hash(room)); }
	std::int64_t users_in(std::uint64_t room) const;

	/* Those of them whose session names a server other than the given one. */
	std::int64_t users_elsewhere(std::string_view room, std::string_view server) const;

	/* Live sessions of a room that name a server. */
	std::int64_t sessions_naming(std::string_view room, std::string_view server) const;

	/* nullptr if no sessions are attached. */
	const SessionIndexTables *details() const { return tables; }

private:
	SessionIndexTables *tables = nullptr;
	bool is_attached = false;
};

} // namespace gxy

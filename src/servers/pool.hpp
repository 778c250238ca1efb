/*
 * pool.hpp: the servers, pins and attachments as this backend remembers them.
 */
#pragma once

#include "pg/array.hpp"
#include "pg/compat.hpp"
#include "pg/interner.hpp"
#include "pg/lock_timeout.hpp"
#include "policy/placement_policy.hpp"
#include "policy/region_list.hpp"
#include "policy/time_arithmetic.hpp"

namespace gxy
{

/* The relation that holds the application's sessions or rooms. */
struct Attachment
{
	const char *schema = nullptr;	/* nullptr: the extension's schema */
	const char *relation = nullptr; /* nullptr: none is attached */

	bool exists() const { return relation != nullptr; }
};

struct Pin
{
	std::string_view room;
	std::string_view server;
	std::optional<int> expected_users;
};

/* Who asks where a room is. */
enum class Viewpoint
{
	caller, /* who is to be sent there */
	worker	/* moves rooms that no caller has asked for */
};

/* The failover of a server that is, or was until a moment ago, offline. */
struct Failover
{
	bool active = false;  /* declared, and the server has not recovered */
	bool pending = false; /* not carried out yet */
	bool on_call = false; /* it counts for callers at once */
	TimestampTz declared_at = 0;
	TimestampTz due_at = 0;
	std::string_view target; /* empty: the rooms are spread */
	int standby = -1;		 /* the target's index, -1 for none in the pool */

	/*
	 * Whether rooms are elsewhere. A clock that was set back by more than the delay since then does
	 * not prolong it.
	 */
	bool counts(TimestampTz now, Viewpoint viewpoint) const
	{
		return now >= due_at || (on_call && viewpoint == Viewpoint::caller) ||
			   later(now, elapsed(declared_at, due_at)) < declared_at;
	}
};

/* An active failover of a server that is not in the pool. */
struct StrayFailover
{
	std::string_view server;
	Failover failover;
};

/* A server, as its row, its health and its failover describe it. */
struct PoolServer
{
	std::string_view name;
	std::uint64_t hash = 0; /* of the name: by which the load cache finds its slot */
	int position = 0;
	int priority = 0;
	int capacity = 0; /* 0: default_capacity */
	ServerPool pool = ServerPool::primary;
	ServerState wanted = ServerState::online; /* as set in balancer_servers */
	/* in force: the worse of wanted and the health */
	ServerState state = ServerState::online;
	bool reported = false; /* a monitor has reported it */
	bool healthy = true;   /* as last reported */
	bool silent = false;   /* unhealthy because no report came, not by a report */
	/* the first good heartbeat after the last bad one; DT_NOBEGIN: none */
	TimestampTz recovered_at = DT_NOBEGIN;
	Failover failover;
	Array<std::string_view> regions;

	int capacity_in_force() const;
	/* Returns the best rank in the list of a region that it serves; -1: it serves none of them. */
	std::int64_t rank_in(const RegionList &wanted) const;
	/* By recovery_delay; a matter of time, so that no row changes when the delay is over. */
	Recovery recovery(TimestampTz now) const;
	TimestampTz recovering_until() const;
};

/* The server for the policy, without what depends on a room. capacity 0: default_capacity. */
Server plain_server(const PoolServer &server);

/* Where the room of a row is. */
struct RoomLocation
{
	int server = -1; /* index into the pool, -1: the row's server is not in it */
	/* a standby has claimed the room; its row still names another server */
	bool moved = false;
	bool stranded = false; /* its server has failed, and the policy must choose another */
};

struct Pool
{
	/* number of this copy among those that this backend has made */
	std::uint64_t number = 0;
	Array<PoolServer> servers;
	std::uint64_t servers_hash = 0;	  /* of the set of their names */
	std::uint64_t servers_digest = 0; /* of everything known about them, except reports */
	/*
	 * The same servers for the policy, without the parts that depend on a room. capacity 0:
	 * default_capacity.
	 */
	Array<Server> plain;
	bool uniform = false; /* see is_uniform() */
	bool has_regions = false;
	TimestampTz last_recovery = DT_NOBEGIN; /* the latest recovered_at */
	NameInterner numbers;					/* of the servers */
	bool written = false;					/* balancer_servers has rows */
	/* it has never had rows: the servers are those of default_servers */
	bool is_default = false;
	Array<Pin> pins; /* sorted by room */
	Attachment sessions;
	Attachment rooms;
	bool has_failovers = false; /* active ones of servers in the pool */
	Array<int>
		claimants; /* servers with an active failover that has a standby in the pool, by standby */
	Array<StrayFailover> stray_failovers;
	int ended_failovers = 0;  /* rows of the history */
	bool has_doubles = false; /* servers with more than one active failover, by a restore */

	/*
	 * Returns the index into servers, -1 if the server is not in the pool. An index is valid for
	 * this copy only: after a wait, search for the name in the current copy again.
	 */
	int find(std::string_view server) const { return numbers.find(server); }

	/* Returns nullptr if the server is not in the pool. */
	const PoolServer *server(std::string_view name) const
	{
		int found = find(name);

		return found < 0 ? nullptr : &servers[found];
	}
	const Pin *pin_of(std::string_view room) const;

	/* Returns the indexes of the servers whose failovers have claimed a standby. */
	std::span<const int> claims_on(int standby) const;
	/* Returns the indexes of the servers in the order of position and name. */
	std::span<const int> in_order() const;
	/* Returns the names in balancer_servers: none while it is empty. */
	std::span<const std::string_view> written_names() const;

	/*
	 * Where a room is whose row names a server and is as old as that. A claim counts from its time
	 * on, whether or not the row has been rewritten, so that all callers get the same answer.
	 */
	RoomLocation locate(std::string_view server, TimestampTz assigned_at, TimestampTz now,
						Viewpoint viewpoint = Viewpoint::caller) const;
};

/*
 * Returns the current pool. It stays valid until the end of the SQL function or trigger that reads
 * it, in the background worker until the end of the transaction, even if the pool changes. Waits
 * until the deadline for transactions that have locked one of its tables: 55P03.
 */
const Pool &pool(Deadline deadline);

/*
 * The same, except that the pins may be out of date. So a transaction that pins many rooms does not
 * read all pins again for each.
 */
const Pool &pool_without_pins(Deadline deadline);

/*
 * The same without waiting. If another transaction has locked one of the tables, returns the last
 * copy; nullptr if this backend has none.
 */
const Pool *pool_without_waiting();

/* Returns the last copy of this backend, which may be out of date; nullptr if there is none. */
const Pool *last_pool();

/* Returns whether the copy with this number is current, apart from its pins. Never waits. */
bool is_current_pool(std::uint64_t number);

/* How many calls of as_call() are in progress; more after an error that a savepoint has undone. */
extern int calls_in_progress;
extern bool has_old_copies;
void free_old_copies();

/*
 * Calls f(), the body of an SQL function or trigger. First frees the copies that are out of date,
 * unless a call that may point into them is in progress. Otherwise a transaction that changes the
 * pool many times would keep a copy for each change.
 */
template <typename F>
Datum
as_call(F f)
{
	if (has_old_copies && calls_in_progress == 0)
		free_old_copies();
	calls_in_progress++;

	Datum result = f();

	calls_in_progress--;
	return result;
}

/*
 * Adds the names of a list (see NameList) that are not in the pool to balancer_servers. Returns how
 * many.
 */
int write_servers(const char *names, Deadline deadline);

/* The same with default_servers, if the pool has never been written. */
void write_pool_if_unwritten(Deadline deadline);

/*
 * Records, as the owner of the tables, that the pool has been written. Returns false if that was
 * recorded before. Called by triggers on balancer_servers.
 */
bool note_pool_written();

/*
 * The server calls it when a relation has changed (0: any), and when default_servers has changed.
 */
void invalidate_pool(Oid relation);

const char *name_of(ServerState state);
ServerState state_named(std::string_view name); /* as a row of balancer_servers has it */
const char *name_of(ServerPool pool);
const char *schema_of(const Attachment &attachment);
/* As SQL has it. */
const char *name_of(const Attachment &attachment);

} // namespace gxy

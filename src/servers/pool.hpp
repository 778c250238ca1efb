/*
 * pool.hpp: the servers, pins and attachments as this backend remembers them.
 */
#pragma once

#include "pg/array.hpp"
#include "pg/lock_timeout.hpp"
#include "pg/interner.hpp"
#include "policy/placement_policy.hpp"

namespace gxy
{

/* The relation the application's sessions, or rooms, are in. */
struct Attachment
{
	const char *schema = nullptr;	/* nullptr: that of the extension, whatever it is called */
	const char *relation = nullptr; /* nullptr: none is attached */

	bool exists() const { return relation != nullptr; }
};

struct Pin
{
	std::string_view room;
	std::string_view server;
	std::optional<int> expected_users;
};

/* The failover of a server that is, or was until a moment ago, offline. */
struct Failover
{
	bool active = false;  /* declared, and the server has not recovered */
	bool pending = false; /* not carried out yet */
	TimestampTz declared_at = 0;
	TimestampTz due_at = 0;
	std::string_view target; /* empty: the rooms are spread */
	int standby = -1;		 /* the target's index, -1 for none in the pool */
};

/* A server as its row, its health and its failover have it. */
struct PoolServer
{
	std::string_view name;
	std::uint64_t hash = 0; /* of the name: every new room asks the board for all servers by it */
	int position = 0;
	int priority = 0;
	int capacity = 0; /* 0: default_capacity */
	ServerPool pool = ServerPool::primary;
	ServerState wanted = ServerState::online; /* what people set */
	ServerState state = ServerState::online;  /* in force: the worse of that and its health */
	bool reported = false;					  /* a monitor has said something of it */
	bool healthy = true;					  /* as last reported */
	bool silent = false; /* unhealthy because no report came, not by a report */
	Failover failover;
	Array<std::string_view> regions;

	int capacity_in_force() const;
	RegionFit fit(std::string_view caller_region) const; /* "": none */
};

/* Where the room of a row is to be found. */
struct RoomLocation
{
	int server = -1;	   /* index into the pool, -1: the row's server is not in it */
	bool moved = false;	   /* by a claim: the row still names another */
	bool stranded = false; /* its server has failed, and the policy is to find another */
};

struct Pool
{
	std::uint64_t number = 0; /* of this copy, among all that this backend has made */
	Array<PoolServer> servers;
	std::uint64_t servers_hash = 0;	  /* of the set of their names */
	std::uint64_t servers_digest = 0; /* of all that is known of them, but for reports */
	/* The same servers as the policy takes them, as far as no room is in question; capacity 0: default_capacity. */
	Array<Server> plain;
	bool has_regions = false;
	NameInterner numbers;	 /* of the servers */
	bool written = false;	 /* balancer_servers has rows */
	bool is_default = false; /* it has never had any: the servers are those of default_servers */
	Array<Pin> pins;		 /* sorted by room */
	Attachment sessions;
	Attachment rooms;
	bool has_failovers = false; /* active ones of servers in the pool */
	Array<int>
		claimants; /* servers with an active failover that has a standby in the pool, by standby */
	bool has_orphans = false; /* active failovers of servers that are not in the pool */
	bool has_doubles = false; /* servers with more than one active failover, by a restore */

	/*
	 * Index into servers, -1 if it is not in the pool. An index is good for this copy only: after a wait, look for the name
	 * again in the copy that is current then.
	 */
	int find(std::string_view server) const { return numbers.find(server); }

	/* nullptr if it is not in the pool. */
	const PoolServer *server(std::string_view name) const
	{
		int found = find(name);

		return found < 0 ? nullptr : &servers[found];
	}
	const Pin *pin_of(std::string_view room) const;

	/* The servers, by their indexes, whose failovers have claimed a standby. */
	std::span<const int> claims_on(int standby) const;
	/* The names in balancer_servers: none while it is empty. */
	std::span<const std::string_view> written_names() const;

	/*
	 * Where a room is whose row names a server and is as old as that. A claim counts from its time on, whether or not
	 * the row has been rewritten, so that all callers give the same answer.
	 */
	RoomLocation locate(std::string_view server, TimestampTz assigned_at, TimestampTz now) const;
};

/*
 * The pool as of now. What it points to stays until the end of the transaction, whatever changes meanwhile. Waits for
 * those who have locked one of its tables as a whole until the deadline.
 */
const Pool &pool(Deadline deadline);

/*
 * The same without waiting for anybody: if somebody has locked one of the tables as a whole, the pool as it was; nullptr
 * if this backend has not seen it yet.
 */
const Pool *pool_without_waiting();

/* The pool as this backend has last read it, which may be out of date; nullptr if it has not read it yet. */
const Pool *last_pool();

/* Whether a copy of this number is the pool as it is now; waits for nothing. */
bool is_current_pool(std::uint64_t number);

/* Adds the names of a list (see NameList) that are not in the pool yet to balancer_servers; how many. */
int write_servers(const char *names, Deadline deadline);

/* The same with default_servers, if the pool has never been written. */
void write_pool_if_unwritten(Deadline deadline);

/*
 * Notes, as the owner of the tables, that the pool has been written, unless that is noted already. Called by triggers on
 * balancer_servers.
 */
void note_pool_written();

/* Called by the server when a relation changed (0: any), and when default_servers did. */
void invalidate_pool(Oid relation);

const char *name_of(ServerState state);
ServerState state_named(std::string_view name); /* as a row of balancer_servers has it */
const char *name_of(ServerPool pool);
const char *schema_of(const Attachment &attachment);
/* As SQL has it. */
const char *name_of(const Attachment &attachment);

} // namespace gxy

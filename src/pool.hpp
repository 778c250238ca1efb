/*
 * pool.hpp: the servers, pins and attachments as this backend remembers them.
 */
#pragma once

#include "array.hpp"
#include "deadline.hpp"
#include "policy.hpp"

namespace gxy
{

/* The relation the application's sessions, or rooms, are in; names are empty if none is attached. */
struct Attachment
{
	const char *schema = nullptr;
	const char *relation = nullptr;

	bool exists() const { return relation != nullptr; }
};

struct Pin
{
	std::string_view room;
	std::string_view server;
	std::optional<int> expected_users;
};

/* A server as its row has it. */
struct PoolServer
{
	std::string_view name;
	int position = 0;
	int priority = 0;
	int capacity = 0; /* 0: default_capacity */
	ServerPool pool = ServerPool::primary;
	ServerState state = ServerState::online;
	Array<std::string_view> regions;

	int capacity_in_force() const;
	RegionFit fit(std::string_view caller_region) const; /* "": none */
};

struct Pool
{
	Array<PoolServer> servers;
	bool written =
		false; /* false: balancer_servers is empty, the servers are those of default_servers */
	Array<Pin> pins; /* sorted by room */
	Attachment sessions;
	Attachment rooms;

	int find(std::string_view server) const; /* index into servers, -1 if it is not in the pool */
	const Pin *pin_of(std::string_view room) const;
};

/*
 * The pool as of now. What it points to stays until the end of the transaction, whatever changes meanwhile. Waits for
 * those who have locked one of its tables as a whole until the deadline.
 */
const Pool &pool(Deadline deadline);

/* Adds the names of a list (see NameList) that are not in the pool yet to balancer_servers; how many. */
int write_servers(const char *names);

/* Called by the server when a relation changed (0: any), and when default_servers did. */
void forget_pool(Oid relation);

const char *name_of(ServerState state);
const char *name_of(ServerPool pool);

} // namespace gxy

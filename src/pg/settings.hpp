/*
 * settings.hpp: the settings gxy_balancer.*. settings.cpp says why each exists.
 *
 * Every process of the server that loads the library has its own copy of the values; no locks.
 */
#pragma once

#include <cstdint>
#include <string_view>

#include "policy/placement_policy.hpp"

namespace gxy
{

/* Ids of rooms, servers and regions are text of at most this many bytes. */
inline constexpr int max_name_length = 255;
/* The largest number of users a caller may expect in, or report for, a room. */
inline constexpr int max_expected_users = 1000000;
inline constexpr int max_capacity = 1000000000; /* of a server, in users */

namespace setting
{
extern char *default_servers; /* comma-separated names */
extern int default_capacity;  /* users */
extern int touch_interval;	  /* milliseconds, like every time below */
extern int assign_timeout;
extern int assignment_grace;
extern int dead_session_timeout; /* 0: sessions never die */
extern int cleanup_interval;
extern int max_learned_rooms; /* 0: none are learned or used */
extern int load_max_age;	  /* 0: each call counts */
extern int max_shared_memory; /* kilobytes */
extern int failover_delay;
extern bool failover_on_call;
extern int heartbeat_timeout; /* 0: missing heartbeats are ignored */
extern int recovery_delay;	  /* 0: a server that is healthy again takes new rooms at once */
} // namespace setting

/* Defines all settings. servers_changed is called before default_servers changes. */
void define_settings(void (*servers_changed)());

/* Returns the settings that the placement policy uses. */
Rules current_rules();

/* Converts a setting in milliseconds to the microseconds of a TimestampTz difference. */
inline constexpr std::int64_t
microseconds(int milliseconds)
{
	return static_cast<std::int64_t>(milliseconds) * 1000;
}

/*
 * How long a measured load counts, in microseconds: heartbeat_timeout, or 30 s if that is 0. By
 * then the server counts as silent, or its monitor no longer measures.
 */
std::int64_t measured_lifetime();

/* Iterates over a comma-separated list of names and trims white space. A blank list has no name. */
class NameList
{
public:
	explicit NameList(const char *list);

	/* Returns false at the end. Does not check the name; name_list_complaint() does. */
	bool next(std::string_view *name);

private:
	const char *rest; /* nullptr at the end */
};

/* Returns why the name of a server is invalid, as a sentence; nullptr if it is valid. */
const char *server_name_complaint(std::string_view name);

/* Returns why a list is invalid: an invalid or repeated name; nullptr if it is valid. */
const char *name_list_complaint(const char *list);

} // namespace gxy

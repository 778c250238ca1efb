/*
 * settings.hpp: the settings, gxy_balancer.*, each with the reason it exists (in pg/settings.cpp).
 */
#pragma once

#include "pg/compat.hpp"
#include "policy/placement_policy.hpp"

namespace gxy
{

/* Ids of rooms, servers and regions are text of at most this many bytes. */
inline constexpr int max_name_length = 255;
/* What anybody may say a room will hold. */
inline constexpr int max_expected_users = 1000000;

namespace setting
{
extern char *default_servers; /* comma-separated names */
extern int default_capacity;  /* users */
extern int touch_interval;	  /* milliseconds, like every time below */
extern int assign_timeout;
extern int assignment_grace;
extern int dead_session_timeout; /* 0: sessions never die */
extern int cleanup_interval;
extern int max_learned_rooms; /* 0: nothing is learned */
extern int load_max_age;	  /* 0: none is reused */
extern int failover_delay;
extern int heartbeat_timeout; /* 0: silence says nothing */
} // namespace setting

/* servers_changed is called when default_servers is about to change. */
void define_settings(void (*servers_changed)());

/* Strategy, metric, overflow, average and join window as the policy takes them. */
Rules current_rules();

/* A setting in milliseconds as an interval of timestamps (microseconds). */
inline constexpr std::int64_t
microseconds(int milliseconds)
{
	return static_cast<std::int64_t>(milliseconds) * 1000;
}

/* Walks a comma-separated list of names, white space around each trimmed; a blank list has none. */
class NameList
{
public:
	explicit NameList(const char *list);

	/* False at the end. The name may be empty or too long: name_list_complaint() tells beforehand. */
	bool next(std::string_view *name);

private:
	const char *rest; /* nullptr at the end */
};

/* What is wrong with the name of a server, as a sentence, or nullptr. */
const char *server_name_complaint(std::string_view name);

/* What is wrong with a list of names, or nullptr: one that is wrong by itself, or named twice. */
const char *name_list_complaint(const char *list);

} // namespace gxy

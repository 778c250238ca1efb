/*
 * settings.cpp: defines the settings gxy_balancer.*.
 *
 * Only superusers can change a setting that affects decisions. Otherwise a session could choose the
 * server of a room or, with a short grace period, free rooms of other users. Except for
 * cleanup_interval, each setting can be set for a session, role or database, so that one PostgreSQL
 * server can hold several services. Times are stored in milliseconds; SET accepts any unit.
 */
#include "pg/settings.hpp"

#include <cstdlib>

#include "pg/compat.hpp"
#include "pg/debug_delay.hpp"

namespace gxy
{

namespace setting
{
char *default_servers;
int default_capacity;
int touch_interval;
int assign_timeout;
int assignment_grace;
int dead_session_timeout;
int cleanup_interval;
int max_learned_rooms;
int load_max_age;
int max_shared_memory;
int failover_delay;
bool failover_on_call;
int heartbeat_timeout;
int recovery_delay;
} // namespace setting

namespace
{

int strategy;
int load_metric;
int overflow;
int avg_room_occupancy;
int join_window;
void (*on_servers_changed)();

/* The default rules. The simulator (test/sim), which found them, uses the same. */
constexpr Rules standard = {};

template <typename E>
constexpr int
value(E option)
{
	return static_cast<int>(option);
}

const config_enum_entry strategies[] = {{"least_loaded", value(Strategy::least_loaded), false},
										{"sequential", value(Strategy::sequential), false},
										{"home", value(Strategy::home), false},
										{nullptr, 0, false}};

const config_enum_entry load_metrics[] = {{"users", value(LoadMetric::users), false},
										  {"rooms", value(LoadMetric::rooms), false},
										  {nullptr, 0, false}};

const config_enum_entry overflows[] = {{"overcommit", value(Overflow::overcommit), false},
									   {"error", value(Overflow::error), false},
									   {nullptr, 0, false}};

bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

void
define_milliseconds(const char *name, const char *what, int *variable, int standard, int least)
{
	DefineCustomIntVariable(name, what, nullptr, variable, standard, least, INT_MAX, PGC_SUSET,
							GUC_UNIT_MS, nullptr, nullptr, nullptr);
}

} // namespace

extern "C"
{
	static bool check_default_servers(char **value, void **extra, GucSource source)
	{
		const char *complaint = name_list_complaint(*value);

		(void) extra;
		(void) source;
		if (complaint == nullptr)
			return true;
		GUC_check_errdetail("%s", complaint);
		GUC_check_errhint("Separate names of 1 to %d bytes, without control characters, by commas.",
						  max_name_length);
		return false;
	}

	static void assign_default_servers(const char *value, void *extra)
	{
		(void) value;
		(void) extra;
		on_servers_changed();
	}
}

NameList::NameList(const char *list) : rest(list)
{
	while (is_space(*list))
		list++;
	if (*list == '\0')
		rest = nullptr;
}

bool
NameList::next(std::string_view *name)
{
	if (rest == nullptr)
		return false;

	const char *at = rest;
	const char *comma = std::strchr(at, ',');
	const char *end = comma != nullptr ? comma : at + std::strlen(at);

	rest = comma != nullptr ? comma + 1 : nullptr;
	while (at < end && is_space(*at))
		at++;
	while (end > at && is_space(end[-1]))
		end--;
	*name = {at, static_cast<std::size_t>(end - at)};
	return true;
}

/*
 * A name with a comma or with blanks at the ends could not stand in default_servers. A control
 * character, such as a line break, would break log lines and psql output.
 */
const char *
server_name_complaint(std::string_view name)
{
	auto breaks = [](unsigned char c) { return c == ',' || c < ' ' || c == 0x7f; };

	if (name.empty())
		return "A server name is empty.";
	if (name.size() > max_name_length)
		return "A server name is longer than 255 bytes.";
	if (std::any_of(name.begin(), name.end(), breaks))
		return "A server name has a comma or a control character.";
	if (name.front() == ' ' || name.back() == ' ')
		return "A server name begins or ends with a blank.";
	return nullptr;
}

/*
 * Returns a message if a name occurs twice in the list of count names, else nullptr. Sorts the
 * names, so a list of a hundred thousand takes milliseconds. Uses malloc(), because the server may
 * check a setting before it has memory contexts.
 */
static const char *
repetition_complaint(const char *list, std::size_t count)
{
	std::string_view *sorted =
		static_cast<std::string_view *>(std::malloc(sizeof(std::string_view) * (count + 1)));
	NameList names(list);
	std::size_t known = 0;

	if (sorted == nullptr)
		return "There is not enough memory to compare the names.";
	while (names.next(&sorted[known]))
		known++;
	std::sort(sorted, sorted + known);

	bool repeated = std::adjacent_find(sorted, sorted + known) != sorted + known;

	std::free(sorted);
	return repeated ? "A server is named twice." : nullptr;
}

const char *
name_list_complaint(const char *list)
{
	NameList names(list);
	std::string_view name;
	std::size_t count = 0;

	for (; names.next(&name); count++)
		if (const char *complaint = server_name_complaint(name); complaint != nullptr)
			return complaint;
	return repetition_complaint(list, count);
}

Rules
current_rules()
{
	return Rules{.strategy = static_cast<Strategy>(strategy),
				 .metric = static_cast<LoadMetric>(load_metric),
				 .overflow = static_cast<Overflow>(overflow),
				 .avg_room_occupancy = avg_room_occupancy,
				 .join_window = microseconds(join_window)};
}

std::int64_t
measured_lifetime()
{
	return microseconds(setting::heartbeat_timeout > 0 ? setting::heartbeat_timeout : 30 * 1000);
}

static void
define_times_of_failovers()
{
	/* A server that restarts within seconds keeps its rooms, and its users reconnect to it. */
	define_milliseconds("gxy_balancer.failover_delay",
						"How long a server is offline before its rooms are moved.",
						&setting::failover_delay, 5 * 1000, 0);

	/*
	 * A user who is sent to a server that is offline cannot join; one who is sent elsewhere may
	 * split the room.
	 */
	DefineCustomBoolVariable(
		"gxy_balancer.failover_on_call",
		"Whether callers get a room's new server at once, not after failover_delay.",
		"As it was when the failover was declared.", &setting::failover_on_call, false, PGC_SUSET,
		0, nullptr, nullptr, nullptr);

	/* A monitor on the same machine stops together with the server, so missing heartbeats count. */
	define_milliseconds("gxy_balancer.heartbeat_timeout",
						"A server not heard of for longer is unhealthy; 0: never.",
						&setting::heartbeat_timeout, 0, 0);

	/* A server that comes and goes is empty each time, and would draw every new room each time. */
	define_milliseconds("gxy_balancer.recovery_delay",
						"How long a server is healthy again before it takes new rooms; 0: at once.",
						&setting::recovery_delay, 10 * 1000, 0);
}

static void
define_times()
{
	/* Users join in the first minutes after the assignment; until then the expected users count. */
	define_milliseconds("gxy_balancer.join_window",
						"How long after its assignment a room counts with its expected users.",
						&join_window, static_cast<int>(standard.join_window / 1000), 0);

	/* Sessions of a crashed media server stay in the table, so they count until this age. */
	define_milliseconds("gxy_balancer.dead_session_timeout",
						"A session last seen longer ago is dead; 0: sessions never die.",
						&setting::dead_session_timeout, 90 * 1000, 0);

	/* A user who received the server's name is still connecting, so the room must not be freed. */
	define_milliseconds("gxy_balancer.assignment_grace",
						"How long an assignment outlives its last use.", &setting::assignment_grace,
						90 * 1000, 0);

	/* Many calls per second may ask for one room; one write per interval keeps its lease. */
	define_milliseconds("gxy_balancer.touch_interval",
						"A lease renewed more recently is not written again.",
						&setting::touch_interval, 10 * 1000, 0);

	/* A call waits for a transaction that is assigning the same room, but not without limit. */
	define_milliseconds("gxy_balancer.assign_timeout",
						"How long a call waits for other transactions, from its start.",
						&setting::assign_timeout, 5 * 1000, 1);

	/*
	 * Counting the sessions for every new room is slow, so calls may reuse a count of this age.
	 * Rooms are exact at any age: the load cache adds the rooms assigned after the count.
	 */
	define_milliseconds(
		"gxy_balancer.load_max_age",
		"How old a count of the load may be that new rooms are placed by; 0 counts for each.",
		&setting::load_max_age, 1000, 0);

	/* A minute suffices for a grace of 90 s. PGC_SIGHUP: one launcher serves all databases. */
	DefineCustomIntVariable("gxy_balancer.cleanup_interval",
							"Time between two runs of the background worker in a database.",
							nullptr, &setting::cleanup_interval, 60 * 1000, 100,
							24 * 60 * 60 * 1000, PGC_SIGHUP, GUC_UNIT_MS, nullptr, nullptr,
							nullptr);
}

void
define_settings(void (*servers_changed)())
{
	on_servers_changed = servers_changed;

	DefineCustomEnumVariable(
		"gxy_balancer.strategy", "How a server is chosen among those with room for a new room.",
		"least_loaded spreads rooms; sequential fills servers in order of position; home uses the "
		"room's home_server while that is online, otherwise least_loaded.",
		&strategy, value(Strategy::least_loaded), strategies, PGC_SUSET, 0, nullptr, nullptr,
		nullptr);

	/* A service without a table of sessions, or with rooms of equal size, can count rooms. */
	DefineCustomEnumVariable("gxy_balancer.load_metric", "What the load of a server is counted in.",
							 "users, or rooms times avg_room_occupancy.", &load_metric,
							 value(LoadMetric::users), load_metrics, PGC_SUSET, 0, nullptr, nullptr,
							 nullptr);

	/* By default a full server is better for users than an error. */
	DefineCustomEnumVariable(
		"gxy_balancer.overflow", "What a new room gets when every server is full.",
		"overcommit: the least loaded one; error: SQLSTATE 53400.", &overflow,
		value(Overflow::overcommit), overflows, PGC_SUSET, 0, nullptr, nullptr, nullptr);

	/* The initial pool, so that the first call after CREATE EXTENSION works. */
	DefineCustomStringVariable(
		"gxy_balancer.default_servers",
		"The pool until balancer_servers is written for the first time.",
		"Comma-separated names; their order is their position.", &setting::default_servers,
		"gxy1,gxy2,gxy3,gxy4,gxy5,gxy6,gxy7,gxy8,gxy9,gxy10,gxy11,gxy12", PGC_SUSET, 0,
		check_default_servers, assign_default_servers, nullptr);

	/* Most services use servers of equal size, so one number replaces one per row. */
	DefineCustomIntVariable("gxy_balancer.default_capacity",
							"The capacity, in users, of a server that names none.", nullptr,
							&setting::default_capacity, 400, 1, max_capacity, PGC_SUSET, 0, nullptr,
							nullptr, nullptr);

	DefineCustomIntVariable("gxy_balancer.avg_room_occupancy",
							"Users expected in a room of unknown size.", nullptr,
							&avg_room_occupancy, static_cast<int>(standard.avg_room_occupancy), 1,
							max_expected_users, PGC_SUSET, 0, nullptr, nullptr, nullptr);

	/* An id may never be used again, so the sizes written longest ago are deleted first. */
	DefineCustomIntVariable(
		"gxy_balancer.max_learned_rooms", "How many rooms' sizes are remembered.",
		"0: none, and sizes remembered before are not used.", &setting::max_learned_rooms, 100000,
		0, 1000000, PGC_SUSET, 0, nullptr, nullptr, nullptr);

	/*
	 * Grows with what there is to remember; a limit keeps a runaway from taking a container's
	 * /dev/shm.
	 */
	DefineCustomIntVariable("gxy_balancer.max_shared_memory",
							"How much shared memory all databases of the server may take together.",
							nullptr, &setting::max_shared_memory, 64 * 1024, 256, MAX_KILOBYTES,
							PGC_SIGHUP, GUC_UNIT_KB, nullptr, nullptr, nullptr);

	define_times();
	define_times_of_failovers();
	define_debug_delay();
	MarkGUCPrefixReserved("gxy_balancer");
}

} // namespace gxy

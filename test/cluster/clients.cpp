/*
 * clients.cpp: clients that ask for the servers of rooms, and write down each answer.
 *
 *     clients LOG NAME COUNT MODE SINCE CONNINFO [CONNINFO_OF_PRIMARY]
 *
 * Each of COUNT clients makes one call after the other until the process is ended. MODE:
 *
 *     primary    a third of the calls is for rooms of this client, a third for rooms that all
 *                processes ask for at about the same time, a third for earlier ones of these
 *     known      a few rooms of this client, over and over
 *     standby    earlier rooms, on the server of CONNINFO; one that it does not know is left out
 *     fallback   the same, but such a room is asked for on the primary; every fourth call is for a
 *                room of this client, which no standby knows
 *
 * A common room has the time as its name: one begins every 200 ms; SINCE (seconds since 1970) is
 * the time of the first.
 *
 * An answer is a line of LOG, written in one piece before the next call, fields separated by tabs:
 * client, kind (own, common, earlier, known, standby, fallback), room, server, and when it was
 * asked and answered, in microseconds since 1970. A call without an answer leaves no line.
 */
#include <libpq-fe.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <random>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

namespace
{

constexpr std::int64_t slot_length = 200'000; /* microseconds */
constexpr std::int64_t known_rooms = 20;
constexpr auto pause = std::chrono::milliseconds(30);
constexpr auto pause_after_failure = std::chrono::milliseconds(100);

struct Options
{
	int log = -1;
	std::string name;
	int count = 0;
	std::string mode;
	std::int64_t since = 0; /* microseconds */
	std::string conninfo;
	std::string conninfo_of_primary;
};

std::int64_t
now()
{
	return std::chrono::duration_cast<std::chrono::microseconds>(
			   std::chrono::system_clock::now().time_since_epoch())
		.count();
}

/* A connection that is opened anew after it was lost. */
class Connection
{
public:
	explicit Connection(const std::string &conninfo) : conninfo(conninfo) {}

	/* Sets the room's server. Returns the SQLSTATE: "" if answered, "?" without a connection. */
	std::string ask(const std::string &room, std::string *server)
	{
		if (connection == nullptr)
			connection = PQconnectdb(conninfo.c_str());
		if (PQstatus(connection) != CONNECTION_OK)
			return close();

		const char *parameters[] = {room.c_str()};
		PGresult *result = PQexecParams(connection, "SELECT get_or_assign_server($1::text)", 1,
										nullptr, parameters, nullptr, nullptr, 0);
		const char *field = PQresultErrorField(result, PG_DIAG_SQLSTATE);
		const bool answered = PQresultStatus(result) == PGRES_TUPLES_OK;
		std::string state = answered ? "" : field != nullptr ? field : "?";

		if (answered)
			*server = PQgetvalue(result, 0, 0);
		PQclear(result);
		if (PQstatus(connection) != CONNECTION_OK)
			return close();
		return state;
	}

	std::string close()
	{
		PQfinish(connection);
		connection = nullptr;
		return "?";
	}

private:
	std::string conninfo;
	PGconn *connection = nullptr;
};

class Client
{
public:
	Client(const Options *options, int number)
		: options(options), name(options->name + "." + std::to_string(number)),
		  own_rooms(name + "-" + std::to_string(now()) + "-"), dice(std::random_device()()),
		  connection(options->conninfo), primary(options->conninfo_of_primary)
	{
	}

	[[noreturn]] void work()
	{
		for (;;)
		{
			const std::string state = options->mode == "primary" ? assign()
									  : options->mode == "known" ? ask_again()
																 : look_up();

			std::this_thread::sleep_for(state.empty() ? pause : pause_after_failure);
		}
	}

private:
	std::string common_room(bool earlier)
	{
		std::int64_t age = (now() - options->since) / slot_length;

		if (earlier)
			age = std::uniform_int_distribution<std::int64_t>(0, age)(dice);
		return "common-" + std::to_string(options->since / slot_length + age);
	}

	std::string assign()
	{
		switch (++calls % 3)
		{
			case 0:
				return ask(&connection, "own", own_rooms + std::to_string(calls));
			case 1:
				return ask(&connection, "common", common_room(false));
			default:
				return ask(&connection, "earlier", common_room(true));
		}
	}

	std::string ask_again()
	{
		return ask(&connection, "known", own_rooms + std::to_string(++calls % known_rooms));
	}

	std::string look_up()
	{
		const bool new_room = options->mode == "fallback" && ++calls % 4 == 0;
		const std::string room = new_room ? own_rooms + std::to_string(calls) : common_room(true);
		const std::string state = ask(&connection, "standby", room);

		if (state != "25006")
			return state;
		return options->mode == "fallback" ? ask(&primary, "fallback", room) : "";
	}

	std::string ask(Connection *where, const char *kind, const std::string &room)
	{
		std::string server;
		const std::int64_t asked = now();
		const std::string state = where->ask(room, &server);

		if (!state.empty())
			return state;

		const std::string line = name + "\t" + kind + "\t" + room + "\t" + server + "\t" +
								 std::to_string(asked) + "\t" + std::to_string(now()) + "\n";

		if (write(options->log, line.data(), line.size()) != static_cast<ssize_t>(line.size()))
		{
			std::perror("the log");
			std::_Exit(1);
		}
		return state;
	}

	const Options *options;
	std::string name;
	std::string own_rooms; /* how their names begin: a client that is started again has others */
	std::mt19937_64 dice;
	Connection connection;
	Connection primary;
	std::int64_t calls = 0;
};

} // namespace

int
main(int argc, char **argv)
{
	if (argc < 7)
	{
		std::fprintf(stderr, "usage: see the head of clients.cpp\n");
		return 2;
	}

	const Options options = {.log = open(argv[1], O_WRONLY | O_CREAT | O_APPEND, 0644),
							 .name = argv[2],
							 .count = std::atoi(argv[3]),
							 .mode = argv[4],
							 .since = std::atoll(argv[5]) * 1'000'000,
							 .conninfo = argv[6],
							 .conninfo_of_primary = argc > 7 ? argv[7] : ""};

	if (options.log < 0)
	{
		std::perror(argv[1]);
		return 1;
	}

	std::vector<std::thread> threads;

	for (int number = 1; number <= options.count; number++)
		threads.emplace_back([&options, number] { Client(&options, number).work(); });
	for (std::thread &thread : threads)
		thread.join();
}

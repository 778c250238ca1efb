/*
 * client.hpp: one connection, and every operation of a client; each call writes itself to the
 * history.
 *
 * The connection uses the PG* environment. A lost connection is opened anew before the next call.
 * libpq reports the loss only when the server has closed the connection, so all the backend's work
 * is over by then.
 */
#pragma once

#include "journal.hpp"
#include "story.hpp"

#include <libpq-fe.h>

#include <initializer_list>
#include <vector>

namespace stress
{

/* State that the clients of a run share. */
struct Run
{
	struct Prepared
	{
		std::string transaction;
		Micros due; /* when another client may end it */
		bool commit;
	};

	std::uint64_t seed = 1;
	int clients = 32;
	int seconds = 60;
	int grace = 600; /* milliseconds */
	std::vector<std::string> servers;
	std::vector<std::atomic<int>> backends; /* process ids by client, 0: none */
	std::vector<int> transactions;			/* begun by each client, in all phases */
	/* clients that have come to a rally, summed over all rallies */
	std::atomic<int> rallied = 0;
	std::atomic<bool> failed = false; /* a client cannot go on */

	std::mutex mutex;
	std::vector<Prepared> prepared;

	explicit Run(int clients)
		: clients(clients), backends(static_cast<std::size_t>(clients) + 1),
		  transactions(static_cast<std::size_t>(clients) + 1)
	{
	}
};

class Client
{
public:
	Client(Run *run, Journal *journal, int number, Level level);
	~Client();
	Client(const Client &) = delete;
	Client &operator=(const Client &) = delete;

	const int number;

	/*
	 * Each returns true if the call was answered; a failed call leaves a transaction to
	 * roll_back().
	 */
	bool begin(Level level, bool sorted);
	bool commit();
	bool roll_back();
	bool savepoint();
	bool roll_back_to();
	bool prepare(Micros due, bool commit);
	bool end_prepared(const Run::Prepared &prepared);

	bool assign(const std::string &room, const char *region, int expected);
	bool touch(const std::string &room);
	bool release(const std::string &room);
	bool clean(int grace); /* in milliseconds; below 0: the setting */
	bool look(const std::string &room);
	bool scan();
	bool enter(const std::string &room, const std::string &server, int user);
	bool leave();
	bool upsert(const std::string &room, const std::string &server);
	bool erase(const std::string &room);
	bool wipe();
	bool edit_server(const std::string &server, const std::string &change, int priority);
	bool fail_server(const std::string &server, int delay); /* in milliseconds */
	bool kill(int client);

	bool in_transaction() const { return transaction != "-"; }
	bool lost() const { return is_lost; }
	std::size_t sessions_open() const { return sessions.size(); }
	const std::string &answer() const { return last.answer; }
	void hold(Micros time); /* waits with the transaction open */

	/* A query that is no operation of the history. */
	std::vector<std::vector<std::string>> query(const char *sql);
	void note(Record record) { pen.put(std::move(record)); }
	Micros now() const { return pen.now(); }

private:
	struct Session
	{
		std::string id;
		std::string room;
	};

	using Parameters = std::initializer_list<const char *>;

	void connect();
	bool call(Operation operation, const std::string &room, std::string arguments, const char *sql,
			  Parameters parameters);
	void run_statement(Record *record, const char *sql, Parameters parameters);
	void take(PGresult *result, Record *record);
	bool end_transaction(Operation operation, const char *sql);
	std::string with_level(std::string arguments) const;

	Run *run;
	Pen pen;
	Level level; /* of calls that are their own transaction */
	PGconn *connection = nullptr;
	std::string transaction = "-";
	int sessions_made = 0;
	std::vector<Session> sessions;
	Record last;
	bool is_lost = false;
};

} // namespace stress

/*
 * player.hpp: plays orders of one scenario in one database.
 */
#pragma once

#include "connection.hpp"
#include "scenario.hpp"

#include <chrono>
#include <memory>

namespace interleavings
{

/* A statement as it was played in an order. */
struct Played
{
	const Statement *statement = nullptr;
	int session = 0;
	int sent = 0;  /* number of the event */
	int ended = 0; /* likewise; 0: it has not been answered */
	bool waited = false;
	Answer answer;
};

struct Outcome
{
	bool possible = true;
	std::size_t places = 0; /* places of the order that were used, the impossible one included */
	std::vector<Played> played;
	std::vector<std::string> violations;

	int blocked() const; /* how many statements have waited */
};

class Player
{
public:
	/* Makes the database from the template. */
	Player(const Scenario &scenario, std::string database, const std::string &model);
	~Player();

	/*
	 * strict: the order stops where it is impossible. Otherwise the next session that can goes
	 * on in the place of a blocked one.
	 */
	Outcome play(const Order &order, bool strict);

private:
	using Clock = std::chrono::steady_clock;

	struct Actual
	{
		std::unique_ptr<Connection> connection;
		std::size_t next = 0; /* number of its next statement */
		bool busy = false;	  /* a statement has no answer yet */
		bool paused = false;  /* it waits at the gate */
		bool gate_closed = false;
		std::vector<int> waits_for; /* sessions that it waited for when the server was asked */
		bool only_sessions = false; /* likewise: for these, or its gate, and nothing else */
		bool surely_waits = false;	/* it waits, because none of these has acted since then */
		bool may_be_failed = false; /* an error that is allowed has failed its transaction */
		Answer answer;				/* as far as it has come */
		std::size_t playing = 0;	/* index into outcome.played, while busy */
	};

	std::string with_database(std::string sql) const;
	void connect();
	void prepare_end();
	void prepare_checks();
	void prepare_reset();
	std::vector<Actor> actors() const;
	void begin(int session);
	void open_gate(int session);
	void close_gate(int session);

	/* Waits until every session is idle or waits for a lock; patiently: until one more is idle. */
	void settle(bool patiently);
	bool take_answers(std::chrono::microseconds limit);
	bool all_wait(bool *deadlocked);
	bool all_surely_wait() const;
	void note_action(int session);
	void note_waits();
	void note_end(int session, const Answer &answer);
	void judge(const Played &played, int session);
	void wind_up();
	void roll_back_prepared();
	void end_order(bool check);
	std::string answers_as_json() const;
	int busy_sessions() const;

	const Scenario &scenario;
	std::string database;
	std::unique_ptr<Connection> control;
	std::vector<Actual> sessions;
	Outcome outcome;
	int events = 0;
	int orders = 0; /* played so far */
	bool judging = true;
};

} // namespace interleavings

/*
 * turns.cpp: the mix.
 *
 * Cleanups are rare, so that there are rooms with expired leases. Most transactions take their
 * rooms in one order, so that they do not deadlock; they clean last, because a cleanup locks rooms
 * that the client does not know. A few take their rooms in the reverse order, and those may
 * deadlock.
 */
#include "rally.hpp"

#include <algorithm>
#include <set>

namespace stress
{
namespace
{

constexpr int hot_rooms = 6;
constexpr int warm_rooms = 100;
constexpr int cold_rooms = 900;
constexpr int first_new_room = 100'000;
constexpr int sure_servers = 4; /* the first ones change their state, the others stay online */

/* The operations on a room and their shares, in thousandths. */
struct Shares
{
	int assign, touch, join, look, release, upsert, erase;
};

constexpr Shares alone = {470, 150, 130, 160, 40, 30, 20};
constexpr Shares together = {600, 120, 130, 60, 40, 30, 20};

class Turn
{
public:
	Turn(Run *run, Client *client, std::uint64_t turn)
		: run(run), client(client), number(turn), dice(run->seed, client->number, turn)
	{
	}

	void take()
	{
		const int kind = dice.below(1000);

		if (number % turns_between_rallies == turns_between_rallies - 1)
			return rally(run, client, number / turns_between_rallies);
		if (kind < 3)
			(void) client->kill(other_client());
		else if (kind < 7)
			edit_a_server();
		else if (kind < 9)
			clean();
		else if (kind < 40)
			(void) client->leave();
		else if (kind < 280)
			do_several();
		else
			(void) do_something_to(some_room(), alone);
	}

private:
	int other_client()
	{
		const int other = 1 + dice.below(std::max(run->clients - 1, 1));

		return other < client->number ? other : std::min(other + 1, run->clients);
	}

	std::string some_room()
	{
		const int kind = dice.below(100);

		if (kind < 20)
			return std::to_string(1 + dice.below(hot_rooms));
		if (kind < 55)
			return warm_room(&dice);
		if (kind < 90)
			return cold_room(&dice);
		/* Clients are at about the same turn, so they call for the same new rooms. */
		return std::to_string(first_new_room +
							  static_cast<int>(number / 8) % (known_rooms - first_new_room));
	}

	const std::string &some_server()
	{
		return run
			->servers[static_cast<std::size_t>(dice.below(static_cast<int>(run->servers.size())))];
	}

	int some_grace()
	{
		const int kind = dice.below(100);

		if (kind < 4)
			return 0;
		if (kind < 15)
			return run->grace * (20 + dice.below(75)) / 100;
		return kind < 30 ? run->grace + dice.below(run->grace) : -1;
	}

	Level some_level()
	{
		const int kind = dice.below(10);

		return kind < 5	  ? Level::read_committed
			   : kind < 8 ? Level::repeatable_read
						  : Level::serializable;
	}

	bool assign(const std::string &room)
	{
		const int kind = dice.below(20);
		const int expected = 1 + dice.below(30);

		return client->assign(room, kind == 0 ? "IL" : nullptr, kind == 1 ? expected : 0);
	}

	bool do_something_to(const std::string &room, const Shares &shares)
	{
		int kind = dice.below(1000);

		if ((kind -= shares.assign) < 0)
			return assign(room);
		if ((kind -= shares.touch) < 0)
			return client->touch(room);
		if ((kind -= shares.join) < 0)
			return join(client, &dice, room);
		if ((kind -= shares.look) < 0)
			return client->look(room);
		if ((kind -= shares.release) < 0)
			return client->release(room);
		if ((kind -= shares.upsert) < 0)
			return client->upsert(room, some_server());
		return client->erase(room);
	}

	/* The reads of the table before and after show every room's state. */
	void clean()
	{
		const bool watch = dice.per_mille(400);
		const int grace = some_grace();

		if (watch)
			(void) client->scan();
		(void) client->clean(grace);
		if (watch)
			(void) client->scan();
	}

	void edit_a_server()
	{
		const int kind = dice.below(100);
		const std::string spare = "spare" + std::to_string(1 + dice.below(3));
		const std::string &known = run->servers[static_cast<std::size_t>(
			dice.below(std::min(sure_servers, static_cast<int>(run->servers.size()))))];
		const int priority = dice.below(3) - 1;

		if (kind < 30)
			(void) client->edit_server(known, "priority", priority);
		else if (kind < 45)
			(void) client->edit_server(known, "draining", 0);
		else if (kind < 55)
			(void) client->edit_server(known, "offline", 0);
		else if (kind < 80)
			(void) client->edit_server(known, "online", 0);
		else
			(void) client->edit_server(spare, kind < 90 ? "add" : "drop", 0);
	}

	/* A transaction over several rooms, kept open between its calls. */
	void do_several()
	{
		const bool sorted = !dice.per_mille(60);
		std::set<std::string> chosen;

		for (int i = 1 + dice.below(4); i > 0; i--)
			chosen.insert(some_room());

		std::vector<std::string> rooms(chosen.begin(), chosen.end());

		if (!sorted)
			std::reverse(rooms.begin(), rooms.end());
		if (!client->begin(some_level(), sorted))
			return;
		for (const std::string &room : rooms)
			if (!visit(room))
				return give_up();
		if (dice.per_mille(8))
		{
			if (!client->clean(some_grace()))
				return give_up();
			pause();
		}
		end();
	}

	bool visit(const std::string &room)
	{
		const bool tentative = dice.per_mille(150);
		const int visits = 1 + dice.below(2);

		if (tentative && !client->savepoint())
			return false;
		for (int i = 0; i < visits; i++)
		{
			if (!do_something_to(room, together))
				return tentative && !client->lost() && client->roll_back_to();
			pause();
		}
		return !tentative || client->roll_back_to();
	}

	void pause()
	{
		const int kind = dice.below(100);

		if (kind < 40)
			client->hold(1000 + dice.below(kind < 4 ? 50'000 : 8'000));
	}

	void end()
	{
		const int kind = dice.below(100);
		const bool commit = dice.per_mille(600);
		const Micros due = client->now() + 1000 * dice.below(200);

		if (kind < 15)
			(void) client->roll_back();
		else if (kind < 21)
			(void) client->prepare(due, commit);
		else
			(void) client->commit();
	}

	void give_up()
	{
		if (!client->lost())
			(void) client->roll_back();
	}

	Run *run;
	Client *client;
	const std::uint64_t number;
	Dice dice;
};

} // namespace

bool
join(Client *client, Dice *dice, const std::string &room)
{
	constexpr std::size_t most_sessions = 4;
	const int user = 1 + dice->below(known_users);
	const bool look_before = dice->per_mille(500);
	const bool look_after = dice->per_mille(700);

	if (!client->assign(room, nullptr, 0))
		return false;

	const std::string server = client->answer();

	return (!look_before || client->look(room)) && client->enter(room, server, user) &&
		   (!look_after || client->look(room)) &&
		   (client->sessions_open() <= most_sessions || client->leave());
}

void
take_turn(Run *run, Client *client, std::uint64_t turn)
{
	Turn(run, client, turn).take();
}

std::string
warm_room(Dice *dice)
{
	return std::to_string(1 + hot_rooms + dice->below(warm_rooms));
}

std::string
cold_room(Dice *dice)
{
	return std::to_string(1 + hot_rooms + warm_rooms + dice->below(cold_rooms));
}

std::string
new_room(const Client &client, int number)
{
	constexpr int per_client = 1000;
	constexpr int first = 10'000;

	return std::to_string(first + client.number * per_client + number % per_client);
}

} // namespace stress

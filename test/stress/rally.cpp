/*
 * rally.cpp: see rally.hpp.
 */
#include "rally.hpp"

namespace stress
{
namespace
{

constexpr int first_new_room = 150'000;
constexpr int first_crossing = 180'000;

class Rally
{
public:
	Rally(Run *run, Client *client, std::uint64_t number)
		: run(run), client(client), number(number), dice(~run->seed, client->number, number)
	{
	}

	void take()
	{
		wait_for_others();
		switch (number % 4)
		{
			case 0:
				return number % 16 == 0 ? cross() : meet_in_a_new_room();
			case 1:
				return sweep(-1, cold_room);
			case 2:
				/* The grace is so small that rooms are idle whose leases were not renewed yet. */
				return sweep(dice.below(run->grace / 6 + 1), warm_room);
			default:
				return crowd();
		}
	}

private:
	/* A client may be waiting for the server, or have ended: go on without it. */
	void wait_for_others() const
	{
		constexpr Micros patience = 300'000;
		constexpr Micros nap = 200;
		const int all = run->clients * (static_cast<int>(number) + 1);
		const Micros until = client->now() + patience;

		for (run->rallied++; run->rallied < all && client->now() < until;)
			client->hold(nap);
	}

	void meet_in_a_new_room()
	{
		const std::string room = std::to_string(
			first_new_room + static_cast<int>(number) % (known_rooms - first_new_room));
		const int kind = dice.below(100);

		client->hold(dice.below(3000));
		if (kind < 50)
			(void) client->assign(room, nullptr, 0);
		else if (kind < 65)
			hold(room, kind % 3 == 0);
		else if (kind < 87)
			(void) client->upsert(room, run->servers[static_cast<std::size_t>(
											dice.below(static_cast<int>(run->servers.size())))]);
		else if (kind < 92)
			(void) client->touch(room);
		else
			(void) client->release(room);
	}

	/*
	 * Two new rooms, which the clients take in different orders: of two clients one must give up.
	 */
	void cross()
	{
		const bool sorted = dice.per_mille(700);
		const int first = first_crossing + 2 * static_cast<int>(number / 16);

		if (!client->begin(Level::read_committed, sorted))
			return;
		for (int room : {sorted ? first : first + 1, sorted ? first + 1 : first})
		{
			if (!client->assign(std::to_string(room), nullptr, 0))
				return (void) (client->lost() || client->roll_back());
			client->hold(dice.below(3000));
		}
		(void) client->commit();
	}

	/* Calls in a transaction and keeps it open, so that the others wait. */
	void hold(const std::string &room, bool renew_only)
	{
		const bool commit = dice.per_mille(750);
		const Level level = dice.per_mille(500) ? Level::read_committed : Level::repeatable_read;

		if (!client->begin(level, true))
			return;

		const bool done = renew_only ? client->touch(room) : client->assign(room, nullptr, 0);

		client->hold(dice.below(6000));
		if (client->lost())
			return;
		(void) (done && commit ? client->commit() : client->roll_back());
	}

	/* One client cleans; the others enter rooms before, during and after. */
	void sweep(int grace, std::string (*room)(Dice *dice))
	{
		const bool commit = dice.per_mille(850);

		if (static_cast<int>(number) % run->clients + 1 != client->number)
		{
			for (int calls = 1 + dice.below(2); calls > 0; calls--)
			{
				client->hold(dice.below(30'000));
				call_for_idle(room(&dice));
			}
			return;
		}
		(void) client->scan();
		if (!client->begin(Level::read_committed, true))
			return;

		const bool done = client->clean(grace);

		client->hold(10'000 + dice.below(20'000));
		if (client->lost())
			return;
		(void) (done && commit ? client->commit() : client->roll_back());
		(void) client->scan();
	}

	void crowd()
	{
		const std::string room = std::to_string(1 + dice.below(2));

		for (int calls = 15; calls > 0; calls--)
			(void) (dice.per_mille(300) ? client->touch(room) : client->assign(room, nullptr, 0));
	}

	void call_for_idle(const std::string &room)
	{
		const int kind = dice.below(100);

		if (kind < 40)
			(void) client->assign(room, nullptr, 0);
		else if (kind < 70)
			(void) join(client, &dice, room);
		else if (kind < 90)
			hold(room, kind % 2 == 0);
		else
			(void) client->touch(room);
	}

	Run *run;
	Client *client;
	const std::uint64_t number;
	Dice dice;
};

} // namespace

void
rally(Run *run, Client *client, std::uint64_t number)
{
	Rally(run, client, number).take();
}

} // namespace stress

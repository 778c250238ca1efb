/*
 * walk.hpp: follows a transaction through its rooms.
 */
#pragma once

#include "world.hpp"

#include <map>

namespace stress
{

/* What a transaction knows of a room from its own operations. */
enum class Mine : std::uint8_t
{
	untouched,
	may_own, /* a call returned a server, and may have made the assignment */
	present, /* it has written the assignment */
	absent	 /* it has freed the room */
};

struct Standing
{
	Mine mine = Mine::untouched;
	int server = no_server;
};

/* A transaction's operations on one room. */
struct Visit
{
	Standing standing;
	std::vector<std::size_t> observations; /* its own, as indexes into the room's */
	std::vector<const Record *> lines;
	int last_step = 0;
	Micros since = 0;
	bool kept = true;
};

/* In the form of look in history.hpp. */
Observation seen_in(std::string_view answer, World *world);

class Walker
{
public:
	Walker(const Story &story, World *world, Check *own);

	/* Call it for each transaction, in any order. */
	void walk(int number);

private:
	struct Savepoint
	{
		std::string_view name;
		std::map<Room *, Standing> standings;
	};

	void visit(int number, const Transaction &transaction);
	void step_in_room(const Step &step, int number, Room *room, Visit *visit);
	void roll_back_to(std::string_view savepoint);
	void enter(const Step &step, int number, Room *room);
	void clean(const Step &step, int number);
	void finish(int number, const Transaction &transaction);

	void assign(const Step &step, int number, Room *room, Visit *visit);
	void touch(const Step &step, int number, Room *room, Visit *visit);
	void free(const Step &step, int number, Room *room, Visit *visit);
	void upsert(const Step &step, int number, Room *room, Visit *visit);
	void look(const Step &step, int number, Room *room, Visit *visit);
	void observe(const Step &step, int number, Room *room, Visit *visit, Observation seen);
	void create(const Step &step, int number, Room *room, int server);
	void end(const Step &step, int number, Room *room, Visit *visit, int spares);
	void expect(bool true_to_it, const Visit &visit);
	Span span_of_snapshot(const Step &step) const;

	const Story &story;
	World *world;
	Check *own;
	std::unordered_map<std::string, Micros> left; /* when a session may have ended */
	std::map<Room *, Visit> visits;				  /* of the transaction being walked */
	std::vector<Savepoint> savepoints;
	bool murky = false; /* it has cleaned: the client does not know which rooms that freed */
};

} // namespace stress

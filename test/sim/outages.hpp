/*
 * outages.hpp: servers that come and go, and monitors that are late or lie, for an hour.
 *
 * The placement policy and the failure detector are the extension's; what is around them is in the
 * simplest form: health as balancer_health has it, failovers that are carried out at once when they
 * are due, rooms whose users all join at once. Three of twelve servers are ill.
 */
#pragma once

#include "trace.hpp"

namespace sim
{

enum class Illness : std::uint8_t
{
	flaps_fast,		 /* up 3 s, down 3 s */
	flaps_slowly,	 /* up 2 min, down 1 min */
	flaps_at_random, /* up and down 1 s to 3 min each */
	half_dead,		 /* up; every other heartbeat says that it is not */
	late,			 /* up; heartbeats come 0.5 s to 12 s apart */
	believed_alive,	 /* up 5 min, down 5 min; the monitor says healthy */
	believed_dead	 /* up; the monitor says unhealthy for 5 s to 3 min, and healthy as long */
};

inline constexpr Illness illnesses[] = {
	Illness::flaps_fast, Illness::flaps_slowly,	  Illness::flaps_at_random, Illness::half_dead,
	Illness::late,		 Illness::believed_alive, Illness::believed_dead};

const char *name_of(Illness illness);

struct OutageFigures
{
	int recoveries = 0;
	int placed = 0;			  /* new rooms */
	int while_recovering = 0; /* new rooms on a server within the delay */
	double first_minute = 0;  /* new rooms in the minute after the delay, of the fair share */
	double worst_minute = 0;  /* the same for the worst of the whole minutes */
	int moved = 0;			  /* rooms, away from servers that are unhealthy */
	int most_moves_in_an_outage = 0; /* of one room */
	int soon_moved = 0;				 /* moved within a minute after it was placed */
};

OutageFigures play_outages(Illness illness, Time recovery_delay, std::uint64_t seed);

} // namespace sim

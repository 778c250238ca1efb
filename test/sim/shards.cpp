/*
 * shards.cpp: see shards.hpp.
 */
#include "shards.hpp"

#include <cmath>
#include <cstdio>

namespace sim
{

namespace
{

/* Of busiest/mean of one shard, seed by seed. */
constexpr double told_margin = 1.05;
constexpr double alone_at_least = 1.15;

constexpr int counts[] = {2, 4, 8};

struct Way
{
	const char *name;
	Time told_every;
	bool told_of_rooms;
};

constexpr Way alone = {"by themselves", 0, false};
constexpr Way each_second = {"told each second", second, false};
constexpr Way ways[] = {
	alone, {"told every 5 s", 5 * second, false}, each_second, {"told of each room", second, true}};

Contender
contender_of(int shards, bool partly, const Way &way)
{
	std::string name = std::to_string(shards) + (partly ? " part: " : " same: ") + way.name;

	return {.name = shards == 1 ? "1 shard" : std::move(name),
			.rules = default_rules(),
			.sharding = {.shards = shards,
						 .partly = partly,
						 .told_every = way.told_every,
						 .told_of_rooms = way.told_of_rooms}};
}

bool
is_alone(const Contender &contender)
{
	return contender.sharding.told_every == 0;
}

bool
is_told_each_second(const Contender &contender)
{
	return contender.sharding.told_every == second && !contender.sharding.told_of_rooms;
}

/* Geometric, over the traces. The first contender is one shard. */
double
times_one_shard(const Findings &findings, std::size_t contender)
{
	double logs = 0;

	for (const auto &scenario : findings)
		logs += std::log(ratio(scenario[contender], scenario[0]).mean);
	return std::exp(logs / static_cast<double>(findings.size()));
}

/* The contenders are in this order: one shard; for each way, pool and number one. */
std::size_t
contender_at(std::size_t way, bool partly, std::size_t count)
{
	return 1 + (way * 2 + (partly ? 1 : 0)) * std::size(counts) + count;
}

bool
verdict(std::ostream &out, bool good, const Scenario &scenario, const Contender &contender,
		const char *claim, const Estimate &against)
{
	char figures[64];

	std::snprintf(figures, sizeof figures, " (%.3f +- %.3f of it)\n", against.mean, against.half);
	out << (good ? "ok" : "not ok") << " - " << scenario.name << ", shards: " << contender.name
		<< ": " << claim << figures;
	return good;
}

} // namespace

std::vector<Contender>
shard_contenders()
{
	std::vector<Contender> all = {contender_of(1, false, alone)};

	for (const Way &way : ways)
		for (bool partly : {false, true})
			for (int count : counts)
				all.push_back(contender_of(count, partly, way));
	return all;
}

std::vector<Contender>
judged_shard_contenders()
{
	std::vector<Contender> judged = shard_contenders();

	std::erase_if(judged, [](const Contender &one) {
		return one.sharding.shards > 1 && !is_told_each_second(one) &&
			   !(is_alone(one) && one.sharding.partly);
	});
	return judged;
}

std::vector<Scenario>
shard_scenarios()
{
	std::vector<Scenario> chosen;

	for (const char *name : {"rush-late", "early-hosts", "weeks", "no-history"})
		chosen.push_back(*scenario_named(name));
	return chosen;
}

void
print_shards(const Study &study, const Findings &findings, std::ostream &out)
{
	char text[64];

	out << "\nas a multiple of one shard, " << study.seeds << " seeds, mean over the traces\n";
	std::snprintf(text, sizeof text, "%-28s", "shards");
	out << text;
	for (int count : counts)
		out << std::string(7, ' ') << count;
	for (bool partly : {false, true})
		for (std::size_t way = 0; way < std::size(ways); way++)
		{
			std::snprintf(text, sizeof text, "\n%-28s",
						  ((partly ? "part: " : "same: ") + std::string(ways[way].name)).c_str());
			out << text;
			for (std::size_t i = 0; i < std::size(counts); i++)
			{
				std::snprintf(text, sizeof text, " %7.3f",
							  times_one_shard(findings, contender_at(way, partly, i)));
				out << text;
			}
		}
	out << '\n';
}

void
print_shard_data(const Study &, const Findings &findings, std::ostream &out)
{
	out << "shards";
	for (bool partly : {false, true})
		for (const Way &way : ways)
			out << "\t\"" << (partly ? "some common, " : "all common, ") << way.name << '"';
	out << "\n1";
	for (std::size_t i = 0; i < 2 * std::size(ways); i++)
		out << "\t1";
	for (std::size_t i = 0; i < std::size(counts); i++)
	{
		out << '\n' << counts[i];
		for (bool partly : {false, true})
			for (std::size_t way = 0; way < std::size(ways); way++)
				out << '\t' << times_one_shard(findings, contender_at(way, partly, i));
	}
	out << '\n';
}

bool
print_shard_verdicts(const Study &study, const Findings &findings, std::ostream &out)
{
	bool all = true;
	bool any_alone = false;
	bool any_told = false;

	for (std::size_t i = 0; i < findings.size(); i++)
		for (std::size_t j = 1; j < findings[i].size(); j++)
		{
			const Scenario &scenario = study.scenarios[i];
			const Contender &contender = study.contenders[j];
			const Estimate against = ratio(findings[i][j], findings[i][0]);
			if (is_told_each_second(contender))
			{
				any_told = true;
				all &= verdict(out, against.mean <= told_margin, scenario, contender,
							   "within 5% of one shard", against);
			}
			else if (is_alone(contender) && contender.sharding.partly)
			{
				any_alone = true;
				all &= verdict(out, against.mean >= alone_at_least, scenario, contender,
							   "as documented, not as good as one shard", against);
			}
		}
	return any_told && any_alone && all;
}

} // namespace sim

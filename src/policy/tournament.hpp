/*
 * tournament.hpp: the first of many candidates by an order, kept while a few change.
 *
 * A binary tree whose leaves are the candidates. Each inner node has the winner of the match
 * between its two children, so a candidate that has changed is played again in one match for each
 * level.
 */
#pragma once

namespace gxy
{

/* The candidates are the numbers from 0 to leaves - 1. */
class Tournament
{
public:
	static constexpr int nothing = -1;

	/* nodes: memory for so many numbers as there are leaves, a power of two of at least 2. */
	Tournament(int *nodes, int leaves) : nodes(nodes), leaves(leaves) {}

	/* Returns nothing if no candidate takes part. */
	int winner() const { return nodes[1]; }

	/*
	 * Plays all matches. takes_part(a): whether a candidate does. beats(a, b): whether a comes
	 * before b, a total order of those that take part.
	 */
	template <typename T, typename B> void play_all(T takes_part, B beats)
	{
		for (int node = leaves - 1; node >= 1; node--)
			nodes[node] = play(node, takes_part, beats);
	}

	/*
	 * Plays the matches of one candidate again. After several have changed: of each, in any order.
	 */
	template <typename T, typename B> void replay(int candidate, T takes_part, B beats)
	{
		for (int node = (leaves + candidate) / 2; node >= 1; node /= 2)
		{
			const int before = nodes[node];

			nodes[node] = play(node, takes_part, beats);
			/* It neither was the winner nor is it: it has no matches further up. */
			if (nodes[node] == before && before != candidate)
				return;
		}
	}

private:
	template <typename T> int winner_of(int node, T takes_part) const
	{
		if (node < leaves)
			return nodes[node];
		return takes_part(node - leaves) ? node - leaves : nothing;
	}

	template <typename T, typename B> int play(int node, T takes_part, B beats) const
	{
		const int left = winner_of(node * 2, takes_part);
		const int right = winner_of(node * 2 + 1, takes_part);

		if (left == nothing || right == nothing)
			return left == nothing ? right : left;
		return beats(right, left) ? right : left;
	}

	int *nodes; /* from 1, the root; the children of n are 2n and 2n + 1 */
	int leaves;
};

} // namespace gxy

/*
 * orders.hpp: the orders in which the statements of several sessions can begin.
 *
 * An order is a list of session numbers, each as often as the session has statements. Three
 * sessions of four statements have 12! / (4! 4! 4!) = 34650 orders.
 */
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace interleavings
{

using Order = std::vector<int>;

/* How many statements each session has. */
using Counts = std::vector<int>;

std::uint64_t number_of_orders(const Counts &counts);

/* Every beginning of this length that an order can have. */
std::vector<Order> beginnings(const Counts &counts, std::size_t length);

/* The order that a text of digits such as 010212 stands for, and the reverse. */
Order order_of(const std::string &digits);
std::string digits_of(const Order &order);

/* Whether each session comes as often as it has statements, and there is no other session. */
bool is_order_of(const Order &order, const Counts &counts);

/* Walks through all orders with one beginning, in lexicographic order. */
class Walk
{
public:
	Walk(Counts counts, Order beginning);

	bool finished() const { return is_finished; }
	const Order &current() const { return order; }
	void next();

	/*
	 * Leaves out the current order and the later ones with the same first places. Returns how many
	 * these are.
	 */
	std::uint64_t leave_out(std::size_t places);

private:
	Order order;
	std::ptrdiff_t fixed; /* length of the beginning */
	int sessions;
	bool is_finished = false;
};

/* Random numbers that depend on the seed only. */
class Dice
{
public:
	explicit Dice(std::uint64_t seed) : state(seed) {}
	std::size_t below(std::size_t limit);

private:
	std::uint64_t state;
};

/* Each order is equally likely. */
Order random_order(const Counts &counts, Dice *dice);

} // namespace interleavings

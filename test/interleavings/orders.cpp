/*
 * orders.cpp: counts, walks through and draws orders.
 */
#include "orders.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

namespace interleavings
{
namespace
{

/* The smallest order with these counts. */
Order
smallest(const Counts &counts)
{
	Order order;

	for (std::size_t session = 0; session < counts.size(); session++)
		order.insert(order.end(), static_cast<std::size_t>(counts[session]),
					 static_cast<int>(session));
	return order;
}

/* How often each session comes from this place on. */
Counts
counts_from(const Order &order, std::size_t place, int sessions)
{
	Counts counts(static_cast<std::size_t>(sessions));

	for (std::size_t i = place; i < order.size(); i++)
		counts[static_cast<std::size_t>(order[i])]++;
	return counts;
}

/* How many orders with the same first places are smaller. */
std::uint64_t
rank(const Order &order, std::size_t places, int sessions)
{
	std::uint64_t smaller = 0;

	for (std::size_t i = places; i < order.size(); i++)
	{
		Counts counts = counts_from(order, i, sessions);

		for (std::size_t session = 0; session < static_cast<std::size_t>(order[i]); session++)
		{
			if (counts[session] == 0)
				continue;
			counts[session]--;
			smaller += number_of_orders(counts);
			counts[session]++;
		}
	}
	return smaller;
}

} // namespace

std::uint64_t
number_of_orders(const Counts &counts)
{
	std::uint64_t orders = 1;
	std::uint64_t placed = 0;

	/* Binomial coefficients, multiplied so that each division is exact. */
	for (int count : counts)
		for (int i = 1; i <= count; i++)
			orders = orders * ++placed / static_cast<std::uint64_t>(i);
	return orders;
}

std::vector<Order>
beginnings(const Counts &counts, std::size_t length)
{
	if (length == 0)
		return {Order()};

	std::vector<Order> found;

	for (const Order &shorter : beginnings(counts, length - 1))
		for (int session = 0; session < static_cast<int>(counts.size()); session++)
		{
			if (std::count(shorter.begin(), shorter.end(), session) >=
				counts[static_cast<std::size_t>(session)])
				continue;
			found.push_back(shorter);
			found.back().push_back(session);
		}
	return found;
}

Order
order_of(const std::string &digits)
{
	Order order;

	for (char digit : digits)
		order.push_back(digit - '0');
	return order;
}

std::string
digits_of(const Order &order)
{
	std::string digits;

	for (int session : order)
		digits += static_cast<char>('0' + session);
	return digits;
}

bool
is_order_of(const Order &order, const Counts &counts)
{
	const int sessions = static_cast<int>(counts.size());

	return std::all_of(order.begin(), order.end(),
					   [sessions](int s) { return s >= 0 && s < sessions; }) &&
		   counts_from(order, 0, sessions) == counts;
}

Walk::Walk(Counts counts, Order beginning)
	: order(std::move(beginning)), fixed(static_cast<std::ptrdiff_t>(order.size())),
	  sessions(static_cast<int>(counts.size()))
{
	for (int session : order)
		counts[static_cast<std::size_t>(session)]--;

	Order rest = smallest(counts);

	order.insert(order.end(), rest.begin(), rest.end());
}

void
Walk::next()
{
	is_finished = !std::next_permutation(order.begin() + fixed, order.end());
}

std::uint64_t
Walk::leave_out(std::size_t places)
{
	std::size_t kept = std::max(places, static_cast<std::size_t>(fixed));
	std::uint64_t left_out =
		number_of_orders(counts_from(order, kept, sessions)) - rank(order, kept, sessions);

	std::sort(order.begin() + static_cast<std::ptrdiff_t>(kept), order.end(), std::greater<>());
	next();
	return left_out;
}

std::size_t
Dice::below(std::size_t limit)
{
	std::uint64_t x = state += 0x9e3779b97f4a7c15;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
	return static_cast<std::size_t>((x ^ (x >> 31)) % limit);
}

Order
random_order(const Counts &counts, Dice *dice)
{
	Order order = smallest(counts);

	for (std::size_t i = order.size(); i > 1; i--)
		std::swap(order[i - 1], order[dice->below(i)]);
	return order;
}

} // namespace interleavings

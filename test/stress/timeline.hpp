/*
 * timeline.hpp: items with a time span, found by overlap.
 */
#pragma once

#include "story.hpp"

#include <algorithm>

namespace stress
{

/* T has a member `span`. Add everything, sort(), then ask. */
template <typename T> class Timeline
{
public:
	void add(T item) { items.push_back(std::move(item)); }

	void sort()
	{
		Micros furthest = -forever;

		std::stable_sort(items.begin(), items.end(),
						 [](const T &a, const T &b) { return a.span.start < b.span.start; });
		reach.clear();
		for (const T &item : items)
		{
			furthest = std::max(furthest, item.span.end);
			reach.push_back(furthest);
		}
	}

	/*
	 * Whether holds(item) is true for any item that overlaps the window; the latest are asked
	 * first.
	 */
	template <typename F> bool any(Span window, F holds) const
	{
		auto after =
			std::upper_bound(items.begin(), items.end(), window.end,
							 [](Micros end, const T &item) { return end < item.span.start; });

		for (std::size_t i = static_cast<std::size_t>(after - items.begin()); i-- > 0;)
		{
			if (reach[i] < window.start)
				return false;
			if (items[i].span.end >= window.start && holds(items[i]))
				return true;
		}
		return false;
	}

	bool any(Span window) const
	{
		return any(window, [](const T &) { return true; });
	}

	const std::vector<T> &all() const { return items; }

private:
	std::vector<T> items;
	std::vector<Micros> reach; /* the latest end of this item and all earlier ones */
};

} // namespace stress

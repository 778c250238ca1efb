/*
 * region_list.hpp: the regions of a room, in order of preference.
 *
 * A list is text: names separated by commas, with blanks around them that do not count. "IL, EU"
 * prefers IL to EU. Empty elements are ignored; a list without a name is like no list.
 */
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace gxy
{

/* Returns the text without the blanks at its ends. */
constexpr std::string_view
without_blanks(std::string_view name)
{
	constexpr std::string_view blanks = " \t\n\r\f\v";
	const std::size_t first = name.find_first_not_of(blanks);

	/* substr() can throw, which links the C++ runtime. */
	name.remove_suffix(name.size() - (name.find_last_not_of(blanks) + 1));
	name.remove_prefix(first == std::string_view::npos ? 0 : first);
	return name;
}

class RegionList
{
public:
	/* The list points into the text. Names after the first 128, of which 255 bytes have no more,
	 * are ignored. */
	explicit constexpr RegionList(std::string_view text)
	{
		while (!text.empty() && length < most)
		{
			const std::size_t comma = text.find(',');
			const std::size_t length_of_name = std::min(comma, text.size());
			const std::string_view name = without_blanks({text.data(), length_of_name});

			if (!name.empty())
				names[length++] = name;
			text.remove_prefix(std::min(length_of_name + 1, text.size()));
		}
	}

	constexpr bool empty() const { return length == 0; }
	constexpr std::string_view operator[](std::int64_t rank) const { return names[rank]; }

	/* Returns the rank of a region, 0 for the first; -1 if it is not in the list. */
	constexpr std::int64_t rank_of(std::string_view region) const
	{
		for (std::int64_t rank = 0; rank < length; rank++)
			if (names[rank] == region)
				return rank;
		return -1;
	}

private:
	static constexpr std::int64_t most = 128;

	std::string_view names[most];
	std::int64_t length = 0;
};

} // namespace gxy

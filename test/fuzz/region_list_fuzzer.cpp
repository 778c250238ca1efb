/* region_list_fuzzer.cpp: lists of regions, from any text. */
#include "input.hpp"
#include "policy/region_list.hpp"

namespace gxy
{

void
check_input(Input *input)
{
	const std::string text = input->text(SIZE_MAX);
	const RegionList list{std::string_view(text)};
	std::int64_t count = 0;

	require(list.empty() || list.rank_of(list[0]) == 0, "the first region is the first");
	if (list.empty())
		require(text.find_first_not_of(", \t\n\r\f\v") == std::string::npos, "no name is lost");
	for (; !list.empty() && count < 128 && list[count].data() != nullptr; count++)
	{
		const std::string_view name = list[count];

		require(!name.empty() && name.find(',') == std::string_view::npos, "a name has no comma");
		require(name == without_blanks(name), "a name has no blanks at its ends");
		require(name.data() >= text.data() &&
					name.data() + name.size() <= text.data() + text.size(),
				"a name is in the text");
		require(list.rank_of(name) >= 0 && list.rank_of(name) <= count, "a name has a rank");
	}
	require(list.rank_of("") == -1, "there is no empty name");
}

} // namespace gxy

/*
 * history.cpp: reads and writes the format of history.hpp.
 */
#include "history.hpp"

#include <algorithm>
#include <array>
#include <charconv>

namespace stress
{
namespace
{

constexpr std::array<std::string_view, static_cast<std::size_t>(Operation::count)> names = {
	"setting",	"phase",	 "connect",			"kill",
	"begin",	"savepoint", "rollback_to",		"commit",
	"rollback", "prepare",	 "commit_prepared", "rollback_prepared",
	"assign",	"touch",	 "release",			"clean",
	"look",		"enter",	 "leave",			"upsert",
	"delete",	"wipe",		 "server",			"scan",
	"load"};

template <typename T>
bool
read_number(std::string_view text, T *number)
{
	const std::from_chars_result result =
		std::from_chars(text.data(), text.data() + text.size(), *number);

	return result.ec == std::errc() && result.ptr == text.data() + text.size();
}

bool
read_outcome(std::string_view text, Record *record)
{
	if (text.empty())
		return false;
	record->answer = text.substr(1);
	switch (text.front())
	{
		case '=':
			record->outcome = Outcome::answered;
			return true;
		case '!':
			record->outcome = Outcome::failed;
			return record->answer.size() == 5;
		case '?':
			record->outcome = Outcome::lost;
			return true;
		default:
			return false;
	}
}

} // namespace

std::string_view
name_of(Operation operation)
{
	return names[static_cast<std::size_t>(operation)];
}

std::string_view
Record::argument(std::string_view name) const
{
	std::string_view rest = arguments;

	while (!rest.empty())
	{
		const std::string_view one = rest.substr(0, rest.find(','));

		if (one.size() > name.size() && one.starts_with(name) && one[name.size()] == '=')
			return one.substr(name.size() + 1);
		rest.remove_prefix(std::min(one.size() + 1, rest.size()));
	}
	return {};
}

std::string
format(const Record &record)
{
	constexpr std::string_view marks = "=!?";
	std::string line = std::to_string(record.client);

	line.append("\t").append(record.transaction);
	line.append("\t").append(name_of(record.operation));
	line.append("\t").append(record.room);
	line.append("\t").append(record.arguments);
	line.append("\t").append(1, marks[static_cast<std::size_t>(record.outcome)]);
	line.append(record.answer);
	line.append("\t").append(std::to_string(record.start));
	line.append("\t").append(std::to_string(record.end));
	return line;
}

std::string_view
parse(std::string_view line, Record *record)
{
	std::array<std::string_view, 8> fields;
	std::size_t count = 0;

	for (std::size_t at = 0; count < fields.size(); count++)
	{
		const std::size_t tab = line.find('\t', at);

		fields[count] = line.substr(at, tab == line.npos ? tab : tab - at);
		if (tab == line.npos)
			break;
		at = tab + 1;
	}
	if (count != fields.size() - 1)
		return "it has not eight fields";

	const auto name = std::find(names.begin(), names.end(), fields[2]);

	if (name == names.end())
		return "it names no known operation";
	record->operation = static_cast<Operation>(name - names.begin());
	record->transaction = fields[1];
	record->room = fields[3];
	record->arguments = fields[4];
	if (!read_outcome(fields[5], record))
		return "its outcome is neither =answer nor !SQLSTATE nor ?";
	if (!read_number(fields[0], &record->client) || !read_number(fields[6], &record->start) ||
		!read_number(fields[7], &record->end))
		return "a number is none";
	if (record->end < record->start)
		return "it ends before it starts";
	return {};
}

std::vector<Record>
read_history(std::istream &file, std::string *complaint)
{
	std::vector<Record> records;
	std::string line;

	for (std::size_t number = 1; std::getline(file, line); number++)
	{
		if (line.empty() || line.front() == '#')
			continue;

		Record record;
		const std::string_view wrong = parse(line, &record);

		if (!wrong.empty())
		{
			*complaint = "line " + std::to_string(number) + ": " + std::string(wrong);
			return {};
		}
		record.line = number;
		records.push_back(std::move(record));
	}
	std::stable_sort(records.begin(), records.end(),
					 [](const Record &a, const Record &b) { return a.start < b.start; });
	for (std::size_t i = 0; i < records.size(); i++)
		records[i].number = i + 1;
	return records;
}

} // namespace stress

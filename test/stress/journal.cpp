/*
 * journal.cpp: see journal.hpp.
 */
#include "journal.hpp"

namespace stress
{

void
Journal::count(const Record &record)
{
	total++;
	if (record.answered())
		return;

	const std::lock_guard<std::mutex> lock(mutex);

	errors[record.outcome == Outcome::lost ? "unanswered" : record.answer]++;
}

void
Journal::write(const std::string &lines)
{
	const std::lock_guard<std::mutex> lock(mutex);

	std::fwrite(lines.data(), 1, lines.size(), file);
}

std::string
Journal::errors_in_words() const
{
	const std::lock_guard<std::mutex> lock(mutex);
	std::string words;

	for (const auto &[state, count] : errors)
		words += " " + state + " " + std::to_string(count);
	return words.empty() ? " none" : words;
}

void
Pen::put(Record record)
{
	constexpr std::size_t page = 1 << 16;

	record.client = client;
	journal->count(record);
	lines.append(format(record)).append("\n");
	if (lines.size() >= page)
		flush();
}

void
Pen::flush()
{
	journal->write(lines);
	lines.clear();
}

} // namespace stress

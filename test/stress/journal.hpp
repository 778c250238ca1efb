/*
 * journal.hpp: the file to which all clients write their operations, and the figures of the
 * progress line.
 */
#pragma once

#include "history.hpp"

#include <atomic>
#include <chrono>
#include <cstdio>
#include <map>
#include <mutex>

namespace stress
{

class Journal
{
public:
	explicit Journal(std::FILE *file) : file(file), began(std::chrono::steady_clock::now()) {}

	/* Microseconds since the run began. */
	Micros now() const
	{
		return std::chrono::duration_cast<std::chrono::microseconds>(
				   std::chrono::steady_clock::now() - began)
			.count();
	}

	void count(const Record &record);
	void write(const std::string &lines);

	std::size_t operations() const { return total; }
	std::string errors_in_words() const;

private:
	std::FILE *file;
	const std::chrono::steady_clock::time_point began;
	std::atomic<std::size_t> total = 0;
	mutable std::mutex mutex;
	std::map<std::string, std::size_t> errors;
};

/* One client's buffer: it collects lines, so that clients seldom contend for the file. */
class Pen
{
public:
	Pen(Journal *journal, int client) : journal(journal), client(client) {}
	~Pen() { flush(); }
	Pen(const Pen &) = delete;
	Pen &operator=(const Pen &) = delete;

	Micros now() const { return journal->now(); }
	void put(Record record);
	void flush();

private:
	Journal *journal;
	int client;
	std::string lines;
};

} // namespace stress

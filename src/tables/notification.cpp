/*
 * notification.cpp: builds and sends the payloads of NOTIFY gxy_balancer.
 *
 * Each payload has a sequence number. Without it the server would drop a payload that equals
 * another of the same transaction; with it a listener that reconnects can tell that it has missed
 * some. Names have at most 255 bytes, and JSON writes a byte as at most 6, so a payload without a
 * list stays below the server's limit of 8,000 bytes even if every character is escaped. append()
 * checks the limit.
 */
#include "tables/notification.hpp"

#include "tables/catalog.hpp"

namespace gxy
{
namespace
{

/* Of a payload, with the zero byte at its end. The server has the same constant in async.c. */
constexpr int longest_payload = BLCKSZ - NAMEDATALEN - 128;

} // namespace

Notification::Notification(const char *kind, Deadline deadline)
{
	initStringInfo(&payload);
	appendStringInfo(
		&payload, "{\"seq\": " INT64_FORMAT,
		nextval_internal(lock_table(&Relations::events, RowExclusiveLock, deadline), false));
	add("event", std::string_view(kind));
}

void
Notification::begin(const char *key)
{
	appendStringInfo(&payload, ", \"%s\": ", key);
}

Notification &
Notification::add(const char *key, std::string_view value)
{
	begin(key);
	escape_json(&payload, copy_of(value).data());
	return *this;
}

Notification &
Notification::add(const char *key, std::int64_t value)
{
	begin(key);
	appendStringInfo(&payload, INT64_FORMAT, value);
	return *this;
}

Notification &
Notification::add_time(const char *key, TimestampTz value)
{
	char text[MAXDATELEN + 1];

	JsonEncodeDateTime(text, TimestampTzGetDatum(value), TIMESTAMPTZOID, nullptr);
	return add(key, std::string_view(text));
}

Notification &
Notification::add_name(const char *key, std::string_view value)
{
	if (!value.empty())
		return add(key, value);
	begin(key);
	appendStringInfoString(&payload, "null");
	return *this;
}

Notification &
Notification::add_list(const char *key)
{
	begin(key);
	appendStringInfoChar(&payload, '[');
	has_list = true;
	return *this;
}

bool
Notification::append(std::string_view text)
{
	int before = payload.len;
	char *copy = const_cast<char *>(copy_of(text).data());

	if (has_elements)
		appendStringInfoString(&payload, ", ");
	escape_json(&payload, copy);
	pfree(copy);
	if (payload.len + static_cast<int>(sizeof("]}")) > longest_payload)
	{
		payload.len = before;
		payload.data[before] = '\0';
		return false;
	}
	has_elements = true;
	return true;
}

void
Notification::send()
{
	if (has_list)
		appendStringInfoChar(&payload, ']');
	appendStringInfoChar(&payload, '}');
	Async_Notify("gxy_balancer", payload.data);
	pfree(payload.data);
}

} // namespace gxy

/*
 * notification.cpp: builds and sends the payloads of NOTIFY gxy_balancer.
 *
 * Each payload has a sequence number. Without it the server would drop a payload that equals
 * another of the same transaction; with it a listener that reconnects can tell that it has missed
 * some. Names have at most 255 bytes, so a payload stays below the server's limit of 8,000 bytes
 * even if every character is escaped.
 */
#include "tables/notification.hpp"

#include "tables/catalog.hpp"

namespace gxy
{

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

void
Notification::send()
{
	appendStringInfoChar(&payload, '}');
	Async_Notify("gxy_balancer", payload.data);
}

} // namespace gxy

/*
 * notification.hpp: NOTIFY gxy_balancer, which tells listeners about servers and failovers.
 */
#pragma once

#include "pg/compat.hpp"
#include "pg/lock_timeout.hpp"

namespace gxy
{

/*
 * A JSON object, built key by key and sent when the transaction commits. get_or_assign_server()
 * sends none: a NOTIFY serialises commits and forbids PREPARE TRANSACTION.
 */
class Notification
{
public:
	/* Waits until the deadline for a lock on the sequence that numbers the notifications: 55P03. */
	Notification(const char *kind, Deadline deadline);

	Notification &add(const char *key, std::string_view value);
	Notification &add(const char *key, std::int64_t value);
	Notification &add_time(const char *key, TimestampTz value);
	/* An empty name becomes null. */
	Notification &add_name(const char *key, std::string_view value);

	/* Adds an empty array of texts as the last key. */
	Notification &add_list(const char *key);
	/*
	 * Adds a text of at most 255 bytes to that array. Returns false, without the text, if the
	 * payload would become too long; there is space for at least three.
	 */
	bool append(std::string_view text);
	void send();

private:
	void begin(const char *key);

	StringInfoData payload;
	bool has_list = false;
	bool has_elements = false; /* of the list */
};
static_assert(std::is_trivially_destructible_v<Notification>);

} // namespace gxy

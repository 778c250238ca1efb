/*
 * notification.hpp: NOTIFY gxy_balancer, for whoever keeps connections to the servers.
 */
#pragma once

#include "pg/lock_timeout.hpp"

namespace gxy
{

/*
 * A JSON object put together key by key, then sent to the listeners when the transaction commits. What callers of
 * get_or_assign_server() do sends none: a NOTIFY serialises commits and forbids PREPARE TRANSACTION.
 */
class Notification
{
public:
	/* Waits for the sequence that numbers events until the deadline: 55P03. */
	Notification(const char *kind, Deadline deadline);

	Notification &add(const char *key, std::string_view value);
	Notification &add(const char *key, std::int64_t value);
	Notification &add_time(const char *key, TimestampTz value);
	/* An empty name is null. */
	Notification &add_name(const char *key, std::string_view value);
	void send();

private:
	void begin(const char *key);

	StringInfoData payload;
};
static_assert(std::is_trivially_destructible_v<Notification>);

} // namespace gxy

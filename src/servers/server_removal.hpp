/*
 * server_removal.hpp: a server that has rooms is not deleted, nor renamed.
 */
#pragma once

#include <string_view>

namespace gxy
{

/*
 * Called by a trigger before a server is deleted or renamed. Raises 55006 if the server has rooms,
 * including those of transactions in progress. The commit of this transaction checks again and
 * fails with the same error.
 */
void guard_removal(std::string_view server, bool deleted);

/* Raises 55006 if rooms are pinned to the server. */
void guard_server_with_pins(std::string_view server);

/* Called before balancer_servers is truncated. */
void note_truncation_of_servers();

/*
 * Called afterwards. Raises 55006 if a server that is no longer in the pool has rooms or pins,
 * those in tables that the same statement has truncated not counted. The commit checks again.
 */
void guard_truncation_of_servers();

/*
 * Called after balancer_servers has got its first rows, which take the place of the default pool.
 * Raises a WARNING if there are rooms on servers that are not among them.
 */
void warn_of_rooms_left_out();

} // namespace gxy

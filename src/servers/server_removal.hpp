/*
 * server_removal.hpp: a server that has rooms is not deleted, nor renamed.
 */
#pragma once

#include "pg/compat.hpp"

namespace gxy
{

/*
 * Called by a trigger before a server is deleted or renamed. Raises 55006 if the server has rooms,
 * including those of transactions in progress. The commit of this transaction checks again and
 * fails with the same error.
 */
void guard_removal(std::string_view server, bool deleted);

} // namespace gxy

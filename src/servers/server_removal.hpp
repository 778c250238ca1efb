/*
 * server_removal.hpp: a server that has rooms is not deleted, nor renamed.
 */
#pragma once

#include "pg/compat.hpp"

namespace gxy
{

/*
 * Called by a trigger before a server is deleted, or gets another name: raises 55006 if it has rooms, those of
 * transactions in progress included. They are looked for once more when this transaction commits, which then fails with
 * the same error.
 */
void guard_removal(std::string_view server, bool deleted);

} // namespace gxy

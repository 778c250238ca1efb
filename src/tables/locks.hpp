/*
 * locks.hpp: waiting for other transactions; errors have SQLSTATE 55P03 and say who is being waited for.
 */
#pragma once

#include "pg/lock_timeout.hpp"
#include "tables/assignments_insert.hpp"

namespace gxy
{

/* The table with its key, so that nothing waits for a lock on either later. */
Assignments open_assignments(LOCKMODE mode, Deadline deadline);

/* Insertion::prepare(), waiting until the deadline for those who have locked one of the table's indexes. */
Insertion prepare_insertion(const Assignments &assignments, Deadline deadline);

/* Waits for this transaction's turn to have the row; see Assignments::lock_row(). */
Assignments::Change wait_for_row(Assignments *assignments, ItemPointer tid, const RoomKey &room,
								 Deadline deadline);

/* Raises 55P03 for a call that kept losing races until its deadline. */
[[noreturn]] void raise_timeout(const RoomKey &room);

} // namespace gxy

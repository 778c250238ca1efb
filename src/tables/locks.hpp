/*
 * locks.hpp: waits for other transactions until a deadline. A wait that times out raises 55P03.
 */
#pragma once

#include "pg/compat.hpp"
#include "pg/lock_timeout.hpp"
#include "tables/assignments.hpp"
#include "tables/assignments_insert.hpp"

namespace gxy
{

/* Opens the table and its key index, so that nothing waits for a lock on either later. */
Assignments open_assignments(LOCKMODE mode, Deadline deadline);

/*
 * Calls Insertion::prepare(); waits until the deadline for transactions that have locked an index
 * of the table.
 */
Insertion prepare_insertion(const Assignments &assignments, Deadline deadline);

/*
 * Waits until this transaction has locked the row; see Assignments::lock_row(). Raises 55P03 at the
 * deadline.
 */
Assignments::Change wait_for_row(Assignments *assignments, ItemPointer tid, const RoomKey &room,
								 Deadline deadline);

/* Raises 55P03 for a call that could not finish by its deadline. */
[[noreturn]] void raise_timeout(const RoomKey &room);

} // namespace gxy

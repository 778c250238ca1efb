/*
 * async_commit.hpp: transactions that need not wait for the disk, nor for a standby, when they
 * commit.
 *
 * A crash may lose the renewal of a lease: the next call renews it as well. So a transaction that
 * has written nothing else commits as with synchronous_commit = off. Whether it has is told by the
 * position of its last WAL record: the one of the last expendable write, and all before it were
 * expendable too. Whatever else it writes, before or after, by whatever code, moves that position,
 * and the transaction commits as it would have.
 */
#pragma once

#include "pg/compat.hpp"

namespace gxy
{

/* Notes that this transaction has written WAL up to its present end, all of it expendable. */
void note_expendable_write();

/*
 * The end of the last expendable write, InvalidXLogRecPtr if nothing but such writes is not true,
 * or there were none.
 */
extern XLogRecPtr expendable_end;

/* Calls f(), all of whose writes are expendable. If it raises an error, they count as others. */
template <typename F>
void
write_expendably(F f)
{
	bool all_expendable = XactLastRecEnd == expendable_end;

	f();
	if (all_expendable && XactLastRecEnd != expendable_end)
		note_expendable_write();
}

} // namespace gxy

/*
 * writable_since.hpp: from when on ages count.
 *
 * While the server is down, or a standby is not promoted yet, nothing can be written: no lease is
 * renewed, no session reports, no heartbeat arrives. So whatever is judged by its age is judged by
 * the later one of its own time and the begin of the time in which the server can be written to.
 * That begin is noted by the first process that uses the extension since.
 */
#pragma once

#include "pg/compat.hpp"

namespace gxy
{

/*
 * Notes that the server can be written to, if that is not known yet. The caller holds the header's
 * lock and has seen that the server is not in recovery.
 */
void note_writable();

/*
 * Returns when the server was first seen out of recovery by any process. In recovery: the current
 * time. No lock held.
 */
TimestampTz writable_since();

/*
 * Returns from when on the ages of this database's leases and sessions count. Usually that is when
 * the server was first seen out of recovery, by the system clock as it is now: setting the clock
 * does not change how long ago that was. DT_NOBEGIN: always, because the extension was created
 * later than that, so nothing is from before; or on a standby, which judges none. Normal code, no
 * lock held.
 */
TimestampTz ages_count_from();

/*
 * Notes at the commit of the current transaction that it has created the extension in this
 * database. COMMIT PREPARED does not. Normal code, no lock held.
 */
void note_extension_created();

} // namespace gxy

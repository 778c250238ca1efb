/*
 * async_commit.cpp: what is done when the transaction commits.
 */
#include "pg/async_commit.hpp"

namespace gxy
{

XLogRecPtr expendable_end = InvalidXLogRecPtr;

extern "C"
{
	/*
	 * Deferred triggers have run before XACT_EVENT_PRE_COMMIT. What the server itself writes later,
	 * it writes for statements that have written before. PREPARE TRANSACTION always waits.
	 */
	static void at_end_of_transaction(XactEvent event, void *)
	{
		switch (event)
		{
			case XACT_EVENT_PRE_COMMIT:
				/* Undone with the transaction's other local settings. */
				if (expendable_end != InvalidXLogRecPtr && XactLastRecEnd == expendable_end)
					(void) set_config_option("synchronous_commit", "off", PGC_USERSET,
											 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
				break;
			case XACT_EVENT_COMMIT:
			case XACT_EVENT_ABORT:
			case XACT_EVENT_PREPARE:
				expendable_end = InvalidXLogRecPtr;
				break;
			default:
				break;
		}
	}
}

void
note_expendable_write()
{
	static bool listening = false;

	if (!listening)
	{
		RegisterXactCallback(at_end_of_transaction, nullptr);
		listening = true;
	}
	expendable_end = XactLastRecEnd;
}

} // namespace gxy

/*
 * async_commit.cpp: what is done when the transaction commits.
 */
#include "pg/async_commit.hpp"

namespace gxy
{

XLogRecPtr expendable_end = InvalidXLogRecPtr;

namespace
{

/* The setting's value, while the commit goes by another one; -1: it goes by the setting. */
int setting_value = -1;

/*
 * Sets what the commit goes by, without the machinery of settings, which would take a tenth of a
 * renewal's instructions. From XACT_EVENT_PRE_COMMIT to the end of the transaction no statement
 * runs and no configuration file is read, so no other code sees the value or sets another one.
 */
void
commit_by(int value)
{
	synchronous_commit = value;
	assign_synchronous_commit(value, nullptr); /* the wait for standbys */
}

void
restore_setting()
{
	if (setting_value >= 0)
		commit_by(setting_value);
	setting_value = -1;
}

} // namespace

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
				if (expendable_end != InvalidXLogRecPtr && XactLastRecEnd == expendable_end)
				{
					setting_value = synchronous_commit;
					commit_by(SYNCHRONOUS_COMMIT_OFF);
				}
				break;
			case XACT_EVENT_COMMIT:
			case XACT_EVENT_ABORT:
			case XACT_EVENT_PREPARE:
				restore_setting();
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

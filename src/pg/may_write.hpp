/*
 * may_write.hpp: whether a transaction may write.
 */
#pragma once

#include "pg/compat.hpp"

namespace gxy
{

inline bool
may_write()
{
	return !XactReadOnly && !RecoveryInProgress() && !IsInParallelMode();
}

/*
 * The same for a write that the answer does not depend on. Returns false also if this transaction
 * has no id, and the server assigns none to avoid a wraparound: a write would fail. Takes no lock,
 * so right after a change of the server's limit the answer may be the one from before.
 */
inline bool
may_write_if_useful()
{
	return may_write() &&
		   (TransactionIdIsValid(GetCurrentTransactionIdIfAny()) ||
			TransactionIdPrecedes(XidFromFullTransactionId(compat::transaction_ids().nextXid),
								  compat::transaction_ids().xidStopLimit));
}

} // namespace gxy

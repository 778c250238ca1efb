/*
 * subtransaction.hpp: runs code in a subtransaction, so that it can fail alone.
 */
#pragma once

#include "pg/compat.hpp"

namespace gxy
{

/*
 * Runs f() in a subtransaction. Commits it if f returns true; rolls it back if f returns false or
 * raises an error. Returns that error, copied into the current memory context, or nullptr. Memory
 * that f allocates in the current memory context stays allocated.
 */
template <typename F>
ErrorData *
try_in_subtransaction(F f)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData *volatile error = nullptr;

	BeginInternalSubTransaction(nullptr);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		if (f())
			ReleaseCurrentSubTransaction();
		else
			RollbackAndReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return error;
}

/* Like try_in_subtransaction(), but raises the error of f after the rollback. */
template <typename F>
void
in_subtransaction(F f)
{
	if (ErrorData *error = try_in_subtransaction(f))
		ReThrowError(error);
}

/*
 * Runs optional work f(), such as statistics that cannot be written on a full disk, in a
 * subtransaction. Returns the message of its error or nullptr. Raises errors of class 57
 * (cancellation, shutdown) and class 40 (deadlock, serialization failure).
 */
template <typename F>
const char *
attempt(F f)
{
	ErrorData *error = try_in_subtransaction([&f] {
		f();
		return true;
	});

	if (error == nullptr)
		return nullptr;

	int category = ERRCODE_TO_CATEGORY(error->sqlerrcode);

	if (category == ERRCODE_TO_CATEGORY(ERRCODE_OPERATOR_INTERVENTION) ||
		category == ERRCODE_TO_CATEGORY(ERRCODE_TRANSACTION_ROLLBACK))
		ReThrowError(error);
	return error->message;
}

} // namespace gxy

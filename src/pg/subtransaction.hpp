/*
 * subtransaction.hpp: work that can be undone, or fail, without the transaction around it.
 */
#pragma once

#include "pg/compat.hpp"

namespace gxy
{

/*
 * Runs f in a subtransaction, which is kept if f returns true and rolled back if it returns false or raises an error.
 * Returns that error, copied into the current memory context, or nullptr. What f allocates in that context stays.
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

/* The same for f whose errors are the caller's. */
template <typename F>
void
in_subtransaction(F f)
{
	if (ErrorData *error = try_in_subtransaction(f))
		ReThrowError(error);
}

/*
 * The same for work that its caller can do without, such as what may not be written on a full disk: f returns nothing. Why
 * it failed, as a message, or nullptr. What concerns the caller is raised: a cancellation or shutdown (class 57), a
 * deadlock or a serialization failure (class 40).
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

/*
 * header.cpp: finds or makes the header.
 */
#include "shared/header.hpp"

#include "pg/subtransaction.hpp"

namespace gxy
{

SharedHeader *known_header = nullptr;

namespace
{

bool other_layout = false;
bool warned = false;
/* The start of the last transaction in which it could not be had; the next one tries again. */
TimestampTz failed_in = 0;

void
prepare(SharedHeader *fresh)
{
	std::memset(static_cast<void *>(fresh), 0, header_size);
	fresh->tranche = LWLockNewTrancheId();
	LWLockInitialize(&fresh->lock, fresh->tranche);
	pg_atomic_init_u32(&fresh->segments.count, 0);
	pg_atomic_init_u32(&fresh->launcher.pid, 0);
	for (pg_atomic_uint32 &count : fresh->placements)
		pg_atomic_init_u32(&count, 0);
	fresh->started = GetCurrentTimestamp();
	fresh->size = sizeof(SharedHeader);
	fresh->layout = layout_version;
}

/*
 * Returns the struct in the server's fixed memory. nullptr, the first time with a WARNING: that is
 * used up.
 */
SharedHeader *
find_or_make()
{
	SharedHeader *found = nullptr;
	const char *failure = attempt([&found] {
		bool was_there;

		LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
		found =
			static_cast<SharedHeader *>(ShmemInitStruct("gxy_balancer", header_size, &was_there));
		if (!was_there)
			prepare(found);
		LWLockRelease(AddinShmemInitLock);
	});

	if (failure != nullptr && !std::exchange(warned, true))
		ereport(WARNING, (errcode(ERRCODE_OUT_OF_MEMORY),
						  errmsg("gxy_balancer: the server's shared memory is used up"),
						  errdetail("New rooms are placed by counting, and no background worker "
									"runs."),
						  errhint("Restart the server with the library in "
								  "shared_preload_libraries.")));
	return failure == nullptr ? found : nullptr;
}

shmem_request_hook_type previous_request_hook = nullptr;

} // namespace

extern "C"
{
	static void request_header()
	{
		if (previous_request_hook != nullptr)
			previous_request_hook();
		RequestAddinShmemSpace(header_size);
	}
}

void
reserve_header()
{
	previous_request_hook = shmem_request_hook;
	shmem_request_hook = request_header;
}

SharedHeader *
find_header()
{
	if (other_layout || !IsUnderPostmaster || !IsTransactionState() || IsInParallelMode() ||
		failed_in == GetCurrentTransactionStartTimestamp())
		return nullptr;

	SharedHeader *found = find_or_make();

	if (found == nullptr)
	{
		failed_in = GetCurrentTransactionStartTimestamp();
		return nullptr;
	}
	other_layout = found->layout != layout_version || found->size != sizeof(SharedHeader);
	if (other_layout)
		return nullptr;
	LWLockRegisterTranche(found->tranche, "gxy_balancer");
	known_header = found;
	return found;
}

bool
has_other_layout()
{
	return shared_header() == nullptr && other_layout;
}

void
check_layout()
{
	if (has_other_layout())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("another version of the gxy_balancer library is in use on this server"),
				 errdetail("The library file was replaced while the server was running."),
				 errhint("Restart the server.")));
}

} // namespace gxy

/*
 * other_layout.c: loaded, it makes the shared memory of gxy_balancer look as if another version of the library had made it.
 */
#include "postgres.h"

#include "fmgr.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"

PG_MODULE_MAGIC;

void		_PG_init(void);

void
_PG_init(void)
{
	bool found;
	uint32 *header;

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	header = ShmemInitStruct("gxy_balancer", 4096, &found);
	*header = 999;
	LWLockRelease(AddinShmemInitLock);
}

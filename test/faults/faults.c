/*
 * faults.c: makes allocations fail, and the search for the shared memory, and stops or kills a backend
 * that is about to release a lock of gxy_balancer.
 *
 * Allocations: the methods of the memory contexts of the backend are replaced by copies that count.
 * New contexts are found at the next allocation in an old one.
 *
 * Ids of transactions: the next one is set, so that tests reach the limits and the end of the ids.
 *
 * Locks and shared memory: the calls that gxy_balancer makes of LWLockRelease(), LockRelease(),
 * ShmemInitStruct() and AllocSetContextCreateInternal() are redirected, in its table of external
 * functions.
 */
#include "postgres.h"

#include <elf.h>
#include <link.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "access/clog.h"
#include "access/subtrans.h"
#include "access/transam.h"
#include "catalog/pg_class.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/memnodes.h"
#include "storage/lock.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

PG_MODULE_MAGIC;

void		_PG_init(void);

PG_FUNCTION_INFO_V1(fail_allocation);
PG_FUNCTION_INFO_V1(has_failed);
PG_FUNCTION_INFO_V1(signal_at_release);
PG_FUNCTION_INFO_V1(refuse_shared_memory);
PG_FUNCTION_INFO_V1(set_next_id);

#if PG_VERSION_NUM >= 170000
#define ALLOC_PARAMETERS MemoryContext context, Size size, int flags
#define ALLOC_ARGUMENTS context, size, flags
#else
#define ALLOC_PARAMETERS MemoryContext context, Size size
#define ALLOC_ARGUMENTS context, size
#endif

/* The kinds of methods that were met, each with its copy. */
static const MemoryContextMethods *methods[8];
static MemoryContextMethods copies[8];
static int	kinds = 0;

static int	countdown = 0;	/* allocations until the one that fails; 0: none fails */
static bool failed = false;
static bool only_lasting = false;	/* those in TopMemoryContext, which outlive the transaction */
static bool in_patch = false;

static void patch_contexts(MemoryContext context);

static void
count_allocation(MemoryContext context)
{
	if (countdown == 0 || in_patch || CritSectionCount > 0)
		return;
	if (only_lasting && context != TopMemoryContext)
		return;
	in_patch = true;
	patch_contexts(TopMemoryContext);
	in_patch = false;
	if (--countdown > 0)
		return;
	failed = true;
	ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory"), errdetail("The test wants it.")));
}

static void *
counted_alloc(ALLOC_PARAMETERS)
{
	count_allocation(context);
	for (int i = 0; i < kinds; i++)
		if (context->methods == &copies[i])
			return methods[i]->alloc(ALLOC_ARGUMENTS);
	abort();
}

static void
patch_methods(MemoryContext context)
{
	int			kind = 0;

	for (int i = 0; i < kinds; i++)
		if (context->methods == &copies[i])
			return;
	while (kind < kinds && methods[kind] != context->methods)
		kind++;
	if (kind == kinds)
	{
		if (kinds == lengthof(methods))
			return;
		methods[kind] = context->methods;
		copies[kind] = *context->methods;
		copies[kind].alloc = counted_alloc;
		kinds++;
	}
	context->methods = &copies[kind];
}

/* The reserve for errors is left alone. */
static void
patch_contexts(MemoryContext context)
{
	if (context == ErrorContext)
		return;
	patch_methods(context);
	for (MemoryContext child = context->firstchild; child != NULL; child = child->nextchild)
		patch_contexts(child);
}

/*
 * fail_allocation(n, lasting): from now on the n-th allocation fails, or the n-th of those that last
 * as long as the backend; 0: none does.
 */
Datum
fail_allocation(PG_FUNCTION_ARGS)
{
	countdown = 0;
	failed = false;
	only_lasting = PG_GETARG_BOOL(1);
	patch_contexts(TopMemoryContext);
	countdown = PG_GETARG_INT32(0);
	PG_RETURN_VOID();
}

/* has_failed(): whether it has failed; none does from now on. */
Datum
has_failed(PG_FUNCTION_ARGS)
{
	countdown = 0;
	PG_RETURN_BOOL(failed);
}

static char awaited_lock = 0;	/* its first letter; 0: none */
static int	awaited_signal = 0;
static char *header = NULL;		/* of the extension's shared memory: 4096 bytes */

static void
release_begins(char lock)
{
	if (lock != awaited_lock)
		return;
	awaited_lock = 0;
	kill(MyProcPid, awaited_signal);
}

static void
redirected_LWLockRelease(LWLock *lock)
{
	if (header != NULL)
		release_begins((char *) lock >= header && (char *) lock < header + 4096 ? 'h' : 'c');
	LWLockRelease(lock);
}

static bool
redirected_LockRelease(const LOCKTAG *tag, LOCKMODE mode, bool session)
{
	if (tag->locktag_type == LOCKTAG_OBJECT && tag->locktag_field4 == 2)
		release_begins('r');
	else if (tag->locktag_type == LOCKTAG_OBJECT && tag->locktag_field2 == RelationRelationId &&
			 tag->locktag_field4 == 1)
		release_begins('p');
	return LockRelease(tag, mode, session);
}

static MemoryContext
redirected_AllocSetContextCreate(MemoryContext parent, const char *name, Size least, Size initial, Size most)
{
	MemoryContext context;

	count_allocation(context);
	context = AllocSetContextCreateInternal(parent, name, least, initial, most);
	if (countdown > 0)
		patch_contexts(context);
	return context;
}

static bool refusing = false;

static void *
redirected_ShmemInitStruct(const char *name, Size size, bool *found)
{
	if (refusing)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("not enough shared memory"), errdetail("The test wants it.")));
	return ShmemInitStruct(name, size, found);
}

/* refuse_shared_memory(refused): whether the server's fixed memory is used up for this backend. */
Datum
refuse_shared_memory(PG_FUNCTION_ARGS)
{
	refusing = PG_GETARG_BOOL(0);
	PG_RETURN_VOID();
}

/*
 * set_next_id(id): the next transaction gets this id. It is on pages of pg_xact and pg_subtrans that
 * have not been used yet: they are made here, unless it is the first on them.
 */
Datum
set_next_id(PG_FUNCTION_ARGS)
{
	TransactionId next = (TransactionId) PG_GETARG_INT64(0);

	LWLockAcquire(XidGenLock, LW_EXCLUSIVE);
	ExtendCLOG(next - next % (BLCKSZ * 4));
	ExtendSUBTRANS(next - next % (BLCKSZ / 4));
#if PG_VERSION_NUM >= 170000
	TransamVariables->nextXid.value = (uint64) PG_GETARG_INT64(0);
#else
	ShmemVariableCache->nextXid.value = (uint64) PG_GETARG_INT64(0);
#endif
	LWLockRelease(XidGenLock);
	PG_RETURN_VOID();
}

static const struct
{
	const char *name;
	void	   *function;
} redirected[] = {
	{"LWLockRelease", redirected_LWLockRelease},
	{"LockRelease", redirected_LockRelease},
	{"ShmemInitStruct", redirected_ShmemInitStruct},
	{"AllocSetContextCreateInternal", redirected_AllocSetContextCreate},
};

static void
redirect(ElfW(Addr) base, const ElfW(Rela) *relocations, size_t bytes, const ElfW(Sym) *symbols, const char *strings)
{
	for (size_t i = 0; i < bytes / sizeof(ElfW(Rela)); i++)
	{
		const char *name = strings + symbols[ELF64_R_SYM(relocations[i].r_info)].st_name;
		void	  **slot = (void **) (base + relocations[i].r_offset);
		void	   *page = (void *) TYPEALIGN_DOWN(sysconf(_SC_PAGESIZE), slot);

		for (int j = 0; j < lengthof(redirected); j++)
			if (strcmp(name, redirected[j].name) == 0)
			{
				if (mprotect(page, sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE) != 0)
					elog(ERROR, "mprotect: %m");
				*slot = redirected[j].function;
			}
	}
}

/* Returns 1 to end the search. */
static int
redirect_if_ours(struct dl_phdr_info *info, size_t size, void *found)
{
	const ElfW(Dyn) *dynamic = NULL;
	const ElfW(Sym) *symbols = NULL;
	const char *strings = NULL;
	const ElfW(Rela) *relocations[2] = {NULL, NULL};
	size_t		bytes[2] = {0, 0};
	const char *slash = strrchr(info->dlpi_name, '/');

	if (slash == NULL || strcmp(slash, "/gxy_balancer.so") != 0)
		return 0;
	for (int i = 0; i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_DYNAMIC)
			dynamic = (const ElfW(Dyn) *) (info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
	for (; dynamic != NULL && dynamic->d_tag != DT_NULL; dynamic++)
	{
		void	   *address = (void *) dynamic->d_un.d_ptr;

		switch (dynamic->d_tag)
		{
			case DT_SYMTAB:
				symbols = address;
				break;
			case DT_STRTAB:
				strings = address;
				break;
			case DT_JMPREL:
				relocations[0] = address;
				break;
			case DT_PLTRELSZ:
				bytes[0] = dynamic->d_un.d_val;
				break;
			case DT_RELA:
				relocations[1] = address;
				break;
			case DT_RELASZ:
				bytes[1] = dynamic->d_un.d_val;
				break;
		}
	}
	for (int i = 0; i < 2; i++)
		redirect(info->dlpi_addr, relocations[i], bytes[i], symbols, strings);
	*(bool *) found = true;
	return 1;
}

/*
 * signal_at_release(lock, signal): the backend sends itself the signal when it is about to release
 * its next header, cache, room or placement lock.
 */
Datum
signal_at_release(PG_FUNCTION_ARGS)
{
	awaited_lock = text_to_cstring(PG_GETARG_TEXT_PP(0))[0];
	awaited_signal = PG_GETARG_INT32(1);
	PG_RETURN_VOID();
}

void
_PG_init(void)
{
	bool		found = false;

	load_file("$libdir/gxy_balancer", false);
	dl_iterate_phdr(redirect_if_ours, &found);
	if (!found)
		elog(ERROR, "gxy_balancer is not loaded");
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	header = ShmemInitStruct("gxy_balancer", 4096, &found);
	LWLockRelease(AddinShmemInitLock);
	if (!found)
		elog(ERROR, "gxy_balancer has no shared memory yet");
}

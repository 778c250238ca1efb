/*
 * header.hpp: the extension's shared memory, made by whichever backend needs it first.
 *
 * CREATE EXTENSION is all: no preload, no restart. The server has a fixed shared memory with some room to spare, from
 * which ShmemInitStruct() gives a running backend a small struct under a name, the same to every process: the header.
 * It holds the lock, what the processes of all databases share, and the handles of the dynamic shared memory segments
 * in which everything else is (shared/segments.hpp). With the library preloaded nothing differs but that the server starts the
 * launcher.
 *
 * After a crash of any process the server starts all shared memory anew, so nothing here survives one, and a process
 * that is named here is alive or ends in order.
 *
 * A library file that is replaced under a running server meets the memory of the old one. The header therefore begins
 * with the layout it was written by; a library of another layout does not touch it.
 */
#pragma once

#include "pg/compat.hpp"

namespace gxy
{

/* To be raised whenever a struct in shared memory changes. */
inline constexpr std::uint32_t layout_version = 1;

/* Where a block of shared memory is, the same in every process; 0: none. */
using SharedPointer = std::uint64_t;

/* Each segment is as large as all before it together, so that these are enough for any memory. */
inline constexpr int max_segments = 40;
/* Blocks come in sizes of a kilobyte times a power of two. */
inline constexpr int block_orders = 32;

struct Segments
{
	/* Written under the lock, read without: a segment never goes. */
	pg_atomic_uint32 count;
	dsm_handle handle[max_segments];
	Size size[max_segments]; /* bytes that blocks may take */
	Size total;				 /* bytes of all segments */
	Size used;				 /* bytes of all blocks in use */
	SharedPointer free_blocks[block_orders];
	/* One more than the order of the smallest block that gxy_balancer.max_shared_memory left no room for; 0: none. */
	int refused;
	std::int64_t
		failed_at; /* when the system last had no memory, monotonic; 0: not since a segment was made */
};

/* The databases that have called, by OID: an open hash table in a block. */
struct Directory
{
	SharedPointer slots; /* 0: none yet */
	int size;			 /* a power of two */
	int count;
};

struct LauncherClaim
{
	/* Written under the lock, read without by every call; 0: no launcher runs. */
	pg_atomic_uint32 pid;
	Latch *latch;	/* of that process */
	bool requested; /* the server is to start one, and to start it again should it end */
	/* When max_worker_processes left no slot for it, monotonic; 0: not since one ran. */
	std::int64_t failed_at;
};

struct SharedHeader
{
	std::uint32_t layout;
	std::uint32_t size; /* of this struct */
	int tranche;
	LWLock lock; /* guards all below, but for what says otherwise */
	TimestampTz started;
	TimestampTz writable_since; /* 0: not known to be out of recovery */
	Segments segments;
	Directory directory;
	LauncherClaim launcher;
	SharedPointer backends; /* see shared/backends.hpp; 0: none yet */
	TransactionId
		last_unreported; /* the latest that has changed something no load cache was told of */
};

/* The same in every layout, so that ShmemInitStruct() agrees to the size. */
inline constexpr Size header_size = 4096;
static_assert(sizeof(SharedHeader) <= header_size);

/*
 * The header, or nullptr where there can be none: in a single-user server, in a parallel operation that comes first, when the
 * server's fixed memory is used up (a WARNING says so), or when a library of another layout has made it.
 * Normal code only: the first call in a backend takes a lock and may run a subtransaction. Outside of a transaction it
 * gives what an earlier call has found.
 */
SharedHeader *shared_header();

/* Has the server set the header's memory apart; to be called while libraries are being preloaded. */
void reserve_header();

/* Whether the header was made by a library of another layout. */
bool has_other_layout();

/* Raises 55000 if the header was made by a library of another layout. */
void check_layout();

} // namespace gxy

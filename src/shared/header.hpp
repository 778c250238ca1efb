/*
 * header.hpp: the root of the extension's shared memory, made by the first backend that needs it.
 *
 * No preload and no restart is needed: ShmemInitStruct() gives a running backend a small named
 * struct from the spare part of the server's fixed shared memory, and the same struct to every
 * process. This header holds a lock, what the processes of all databases share, and the handles of
 * the dynamic shared memory segments that hold everything else (shared/segments.hpp). With the
 * library preloaded the only difference is that the server starts the launcher.
 *
 * After a crash of a process the server initializes all shared memory again. So nothing here
 * survives a crash, and a process named here is alive or is exiting in the normal way.
 *
 * If the library file is replaced while the server runs, new backends meet the memory of the old
 * library. The header therefore begins with a layout version, and a library with another version
 * does not touch the rest.
 */
#pragma once

#include "pg/compat.hpp"

namespace gxy
{

/* Increase it whenever a struct in shared memory changes. */
inline constexpr std::uint32_t layout_version = 7;

/* The place of a block of shared memory, the same in every process; 0: none. */
using SharedPointer = std::uint64_t;

/* Each segment is as large as all before it together, so this number suffices for any memory. */
inline constexpr int max_segments = 40;
/* The size of a block is a kilobyte times a power of two. */
inline constexpr int block_orders = 32;
/* See shared/placements.hpp. */
inline constexpr int placement_counts = 256;

struct Segments
{
	/* Written under the lock, read without it: segments are never removed. */
	pg_atomic_uint32 count;
	dsm_handle handle[max_segments];
	Size size[max_segments]; /* bytes that blocks may take */
	Size total;				 /* bytes of all segments */
	Size used;				 /* bytes of all blocks in use */
	SharedPointer free_blocks[block_orders];
	/*
	 * One more than the order of the smallest block that max_shared_memory has refused; 0: none is
	 * refused.
	 */
	int refused;
	/*
	 * When the system last had no memory, monotonic milliseconds; 0: not since a segment was made.
	 */
	std::int64_t failed_at;
};

/* The databases that use the extension, by OID: an open hash table in a block. */
struct Directory
{
	SharedPointer slots; /* 0: none yet */
	int size;			 /* a power of two */
	int count;
};

struct LauncherClaim
{
	/* Written under the lock, read by every call without it; 0: no launcher runs. */
	pg_atomic_uint32 pid;
	Latch *latch;	/* of that process */
	bool requested; /* the server is to start one, and to start it again should it end */
	/*
	 * When max_worker_processes left no slot for it, or for a worker that it was to start,
	 * monotonic milliseconds; 0: not since one was started.
	 */
	std::int64_t failed_at;
};

/* See shared/clock_watch.hpp. Times are microseconds. */
struct ClockWatch
{
	bool begun;				 /* difference is known */
	std::int64_t difference; /* system time minus monotonic time, at the last step or the begin */
	std::int64_t forward_at; /* monotonic time of the last step forward; 0: there was none */
	TimestampTz old_times_until;
	TimestampTz set_at; /* of the last step, by the new time; 0: there was none */
	std::int64_t set_by;
};

/* Since when the server can be written to; see shared/writable_since.hpp. */
struct WritableSince
{
	TimestampTz at;			/* 0: not known to be out of recovery */
	std::int64_t monotonic; /* monotonic_microseconds() */
};

struct SharedHeader
{
	std::uint32_t layout;
	std::uint32_t size; /* of this struct */
	int tranche;
	LWLock lock; /* guards all fields below, unless they say otherwise */
	TimestampTz started;
	WritableSince writable;
	Segments segments;
	Directory directory;
	LauncherClaim launcher;
	ClockWatch clock;
	SharedPointer backends; /* see shared/backends.hpp; 0: none yet */
	/* As in DatabaseEntry, for databases that have no entry; a new entry copies it. */
	FullTransactionId last_unreported;
	/* Without the lock. */
	pg_atomic_uint32 placements[placement_counts];
};

/* The same in every layout version, because ShmemInitStruct() raises an error for another size. */
inline constexpr Size header_size = 4096;
static_assert(sizeof(SharedHeader) <= header_size);

/*
 * Returns the header, made at the first use. nullptr: in a single-user server, if the first use is
 * in a parallel operation, if the server's fixed memory is used up (one WARNING; the next
 * transaction tries again), or if a library with another layout has made it. Normal code: the first
 * call in a backend takes a lock and may run a subtransaction. Outside of a transaction it returns
 * what an earlier call has found.
 */
inline SharedHeader *shared_header();

/* What shared_header() has found in this process. */
extern SharedHeader *known_header;
SharedHeader *find_header();

inline SharedHeader *
shared_header()
{
	return known_header != nullptr ? known_header : find_header();
}

/* Reserves the header's memory at server start. Call it while libraries are being preloaded. */
void reserve_header();

/* Returns whether a library with another layout has made the header. */
bool has_other_layout();

/* Raises 55000 if a library with another layout has made the header. */
void check_layout();

} // namespace gxy

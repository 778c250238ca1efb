/*
 * segments.cpp: a buddy allocator over segments that are made on demand.
 *
 * A segment has a power of two of units, and a mark (one byte) for each unit. A free block is split
 * into halves until it has the size that is needed. A freed block is merged with its other half
 * (its buddy) if that is free, and so on. Free blocks of one size form a list through the blocks
 * themselves. All functions here run under the header's lock, unless they say otherwise.
 */
#include "shared/segments.hpp"

#include "pg/monotonic_clock.hpp"
#include "pg/settings.hpp"
#include "pg/subtransaction.hpp"

namespace gxy
{
namespace
{

constexpr Size unit = 1024;
constexpr int first_order = 8; /* of the first segment: 256 kB, if that is enough */
/* When the system had no memory, it is asked again after so long. */
constexpr std::int64_t retry_delay = 10 * 1000; /* milliseconds */

/*
 * The mark of a block's first unit is one of these plus the block's order. The marks of all other
 * units are 0.
 */
constexpr std::uint8_t is_free = 64;
constexpr std::uint8_t is_used = 128;

struct FreeBlock
{
	SharedPointer next;
	SharedPointer previous;
};

/* A segment as this process has mapped it. */
struct Mapping
{
	std::uint8_t *marks;
	char *data;
};
Mapping mappings[max_segments];
std::uint32_t mapped = 0;

constexpr int segment_shift = 48;

SharedPointer
pointer_to(std::uint32_t segment, Size first_unit)
{
	return (std::uint64_t{segment} + 1) << segment_shift | first_unit;
}

std::uint32_t
segment_of(SharedPointer block)
{
	return static_cast<std::uint32_t>(block >> segment_shift) - 1;
}

Size
unit_of(SharedPointer block)
{
	return block & ((SharedPointer{1} << segment_shift) - 1);
}

std::uint8_t &
mark_of(SharedPointer block)
{
	return mappings[segment_of(block)].marks[unit_of(block)];
}

int
order_of(Size size)
{
	return pg_ceil_log2_64(std::max(size, unit)) - 10;
}

constexpr Size
bytes_of(int order)
{
	return unit << order;
}

Segments &
segments()
{
	return shared_header()->segments;
}

void
push_free(SharedPointer block, int order)
{
	SharedPointer &first = segments().free_blocks[order];
	FreeBlock *fresh = shared<FreeBlock>(block);

	*fresh = FreeBlock{.next = first, .previous = 0};
	if (first != 0)
		shared<FreeBlock>(first)->previous = block;
	first = block;
	mark_of(block) = static_cast<std::uint8_t>(is_free + order);
}

void
unlink_free(SharedPointer block, int order)
{
	FreeBlock gone = *shared<FreeBlock>(block);

	if (gone.previous != 0)
		shared<FreeBlock>(gone.previous)->next = gone.next;
	else
		segments().free_blocks[order] = gone.next;
	if (gone.next != 0)
		shared<FreeBlock>(gone.next)->previous = gone.previous;
	mark_of(block) = 0;
}

/* Returns a block of this order, or 0 if no free block is large enough. */
SharedPointer
take(int order)
{
	int from = order;

	while (from < block_orders && segments().free_blocks[from] == 0)
		from++;
	if (from == block_orders)
		return 0;

	SharedPointer block = segments().free_blocks[from];

	unlink_free(block, from);
	while (from > order)
	{
		from--;
		push_free(block + (Size{1} << from), from);
	}
	mark_of(block) = static_cast<std::uint8_t>(is_used + order);
	segments().used += bytes_of(order);
	if (order + 1 >= segments().refused)
		segments().refused = 0;
	return block;
}

void
give_back(SharedPointer block, int order)
{
	Assert(mark_of(block) == is_used + order);
	segments().used -= bytes_of(order);
	mark_of(block) = 0;
	while (bytes_of(order) < segments().size[segment_of(block)])
	{
		Size buddy_unit = unit_of(block) ^ (Size{1} << order);
		SharedPointer buddy = pointer_to(segment_of(block), buddy_unit);

		if (mark_of(buddy) != is_free + order)
			break;
		unlink_free(buddy, order);
		block = std::min(block, buddy);
		order++;
	}
	push_free(block, order);
}

/* Returns the bytes of a segment's marks, which come before its units. */
Size
size_of_marks(Size data)
{
	return CACHELINEALIGN(data / unit);
}

void
remember(std::uint32_t segment, dsm_segment *handle, Size data)
{
	char *start = static_cast<char *>(dsm_segment_address(handle));

	mappings[segment] = Mapping{.marks = reinterpret_cast<std::uint8_t *>(start),
								.data = start + size_of_marks(data)};
}

/*
 * Returns the order of the segment to make for a block: as large as all before it, or as large as
 * the limit allows; -1 if the limit allows none.
 */
int
next_segment_order(int block_order, Size total, std::uint32_t count)
{
	Size limit = static_cast<Size>(setting::max_shared_memory) * 1024;
	int order = std::max(block_order, first_order);

	if (count == max_segments)
		return -1;
	if (total > bytes_of(order))
		order = std::max(order, order_of(total + 1) - 1);
	while (order > block_order && total + bytes_of(order) > limit)
		order--;
	return total + bytes_of(order) > limit ? -1 : order;
}

/*
 * The limit has refused a block. Raises one WARNING until a block of this size is available again.
 * No lock held.
 */
void
note_limit(int order)
{
	bool news = with_lock(&shared_header()->lock, LW_EXCLUSIVE, [order] {
		int before = segments().refused;

		segments().refused = before == 0 ? order + 1 : std::min(before, order + 1);
		return before == 0;
	});

	if (news)
		ereport(WARNING,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("gxy_balancer: gxy_balancer.max_shared_memory is used up"),
				 errdetail("Where memory is missing, new rooms are placed by counting, which is "
						   "slower; balancer_stats shows it."),
				 errhint("Raise gxy_balancer.max_shared_memory and reload the configuration.")));
}

/* The system had no memory. Raises one WARNING until it has some again. No lock held. */
void
note_failure()
{
	bool news = with_lock(&shared_header()->lock, LW_EXCLUSIVE, [] {
		return std::exchange(segments().failed_at, monotonic_milliseconds()) == 0;
	});

	if (news)
		ereport(WARNING,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("gxy_balancer: the system has no more shared memory"),
				 errdetail("Where memory is missing, new rooms are placed by counting, which is "
						   "slower; balancer_stats shows it."),
				 errhint("Have a larger /dev/shm.")));
}

/* Runs f in the current transaction, or in a new one: the launcher often has none. */
template <typename F>
bool
in_transaction(F f)
{
	MemoryContext caller = CurrentMemoryContext;
	bool result;

	if (IsTransactionState())
		return f();
	StartTransactionCommand();
	result = f();
	CommitTransactionCommand();
	MemoryContextSwitchTo(caller);
	return result;
}

/*
 * Makes a segment with space for a block. Returns false if it cannot. Returns true if it has, or if
 * another process was faster: then the caller tries again. No lock held.
 */
bool
add_segment(int block_order)
{
	std::uint32_t count = pg_atomic_read_u32(&segments().count);
	Size total = 0;

	for (std::uint32_t i = 0; i < count; i++)
		total += segments().size[i];

	int order = next_segment_order(block_order, total, count);
	dsm_segment *made = nullptr;

	if (order < 0)
	{
		note_limit(block_order);
		return false;
	}
	if (IsInParallelMode() || (segments().failed_at != 0 &&
							   monotonic_milliseconds() - segments().failed_at < retry_delay))
		return false;

	bool done = in_transaction([&made, order] {
		return attempt([&made, order] {
				   Size data = bytes_of(order);

				   made = dsm_create(size_of_marks(data) + data, DSM_CREATE_NULL_IF_MAXSEGMENTS);
				   if (made != nullptr)
					   dsm_pin_mapping(made);
			   }) == nullptr;
	});

	if (!done || made == nullptr)
	{
		note_failure();
		return false;
	}
	std::memset(dsm_segment_address(made), 0, size_of_marks(bytes_of(order)));
	dsm_pin_segment(made);

	bool published = with_lock(&shared_header()->lock, LW_EXCLUSIVE, [made, order, count] {
		if (pg_atomic_read_u32(&segments().count) != count)
			return false;
		segments().handle[count] = dsm_segment_handle(made);
		segments().size[count] = bytes_of(order);
		segments().total += bytes_of(order);
		segments().failed_at = 0;
		remember(count, made, bytes_of(order));
		mapped = count + 1;
		pg_atomic_write_u32(&segments().count, count + 1);
		push_free(pointer_to(count, 0), order);
		return true;
	});

	if (!published)
	{
		dsm_unpin_segment(dsm_segment_handle(made));
		dsm_detach(made);
	}
	return true;
}

} // namespace

bool
all_segments_mapped()
{
	return mapped == pg_atomic_read_u32(&segments().count);
}

void
map_segments()
{
	while (!all_segments_mapped())
	{
		dsm_handle handle;
		Size data;

		LWLockAcquire(&shared_header()->lock, LW_SHARED);
		handle = segments().handle[mapped];
		data = segments().size[mapped];
		LWLockRelease(&shared_header()->lock);

		/* A pinned mapping belongs to no transaction. */
		dsm_segment *segment = dsm_attach(handle);

		if (segment == nullptr)
			elog(ERROR, "a shared memory segment of gxy_balancer is gone");
		dsm_pin_mapping(segment);
		remember(mapped, segment, data);
		mapped++;
	}
}

void *
address_of(SharedPointer block)
{
	Assert(block != 0 && segment_of(block) < mapped);
	return mappings[segment_of(block)].data + unit_of(block) * unit;
}

Size
block_size(Size size)
{
	return bytes_of(order_of(size));
}

SharedPointer
allocate_shared(Size size)
{
	int order = order_of(size);

	if (shared_header() == nullptr || order >= block_orders)
		return 0;
	for (;;)
	{
		SharedPointer block =
			with_lock(&shared_header()->lock, LW_EXCLUSIVE, [order] { return take(order); });

		if (block != 0)
		{
			std::memset(address_of(block), 0, bytes_of(order));
			return block;
		}
		if (!add_segment(order))
			return 0;
	}
}

void
free_shared(SharedPointer block, Size size)
{
	if (block == 0)
		return;
	with_lock(&shared_header()->lock, LW_EXCLUSIVE,
			  [block, size] { give_back(block, order_of(size)); });
}

} // namespace gxy

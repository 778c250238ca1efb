/*
 * array.hpp: a growing array in the current memory context.
 *
 * Replaces std::vector, whose destructor does not run when ereport(ERROR) leaves a function. An
 * Array has no destructor; its memory is freed with the memory context that was current at the
 * first push().
 */
#pragma once

#include "pg/compat.hpp"

namespace gxy
{

template <typename T> struct Array
{
	static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T>);

	T *items = nullptr;
	int count = 0;
	int space = 0;

	/* Allocates space for one more item, so that the next push() cannot raise an error. */
	void make_space()
	{
		if (count == space)
			grow();
	}

	/* So many more can be pushed without fail. */
	void reserve(int more)
	{
		while (space - count < more)
			grow();
	}

	/* Returns a copy in the current memory context. */
	Array copy() const
	{
		Array copy = {.items = static_cast<T *>(palloc(sizeof(T) * static_cast<Size>(count) + 1)),
					  .count = count,
					  .space = count};

		std::copy_n(items, count, copy.items);
		return copy;
	}

	T &push(const T &item)
	{
		make_space();
		items[count] = item;
		return items[count++];
	}

	T &operator[](int i) { return items[i]; }
	const T &operator[](int i) const { return items[i]; }
	T *begin() { return items; }
	T *end() { return items + count; }
	const T *begin() const { return items; }
	const T *end() const { return items + count; }
	std::span<const T> span() const { return {items, static_cast<std::size_t>(count)}; }

private:
	/* The array stays as it was if there is no memory: some live longer than a transaction. */
	void grow()
	{
		int more = space == 0 ? 64 : space * 2;
		Size size = static_cast<Size>(more) * sizeof(T);

		items =
			static_cast<T *>(items == nullptr ? MemoryContextAllocHuge(CurrentMemoryContext, size)
											  : repalloc_huge(items, size));
		space = more;
	}
};

} // namespace gxy

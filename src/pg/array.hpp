/*
 * array.hpp: a growing array in the current memory context.
 *
 * Stands where a std::vector would, which must not live across a call that can raise an error. It owns nothing: its
 * memory goes with the memory context it was first filled in.
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

	/* The next push() cannot fail. */
	void make_space()
	{
		if (count == space)
			grow();
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
	void grow()
	{
		space = space == 0 ? 64 : space * 2;

		Size size = static_cast<Size>(space) * sizeof(T);

		items =
			static_cast<T *>(items == nullptr ? MemoryContextAllocHuge(CurrentMemoryContext, size)
											  : repalloc_huge(items, size));
	}
};

} // namespace gxy

/*
 * backends.cpp: one block for all possible backends: first their counters, then their transactions.
 */
#include "shared/backends.hpp"

#include "shared/header.hpp"
#include "shared/segments.hpp"

namespace gxy
{
namespace
{

Size
size_of_counts()
{
	return mul_size(sizeof(BackendCounts), static_cast<Size>(MaxBackends));
}

Size
size_of_all()
{
	return add_size(size_of_counts(),
					mul_size(sizeof(TransactionId), static_cast<Size>(MaxBackends)));
}

char *
block()
{
	return shared_header()->backends != 0 ? shared<char>(shared_header()->backends) : nullptr;
}

} // namespace

bool
make_backends()
{
	if (shared_header() == nullptr)
		return false;
	if (shared_header()->backends == 0)
	{
		SharedPointer fresh = allocate_shared(size_of_all());
		SharedPointer unused = with_lock(&shared_header()->lock, LW_EXCLUSIVE, [fresh] {
			SharedPointer &known = shared_header()->backends;

			return known == 0 ? std::exchange(known, fresh) : fresh;
		});

		free_shared(unused, size_of_all());
	}
	map_segments();
	return shared_header()->backends != 0;
}

std::span<BackendCounts>
counts_of_backends()
{
	if (block() == nullptr)
		return {};
	return {reinterpret_cast<BackendCounts *>(block()), static_cast<std::size_t>(MaxBackends)};
}

std::span<TransactionId>
transactions_of_backends()
{
	if (block() == nullptr)
		return {};
	return {reinterpret_cast<TransactionId *>(block() + size_of_counts()),
			static_cast<std::size_t>(MaxBackends)};
}

} // namespace gxy

/*
 * function_ref.hpp: a reference to a function or lambda, as a parameter of a function that is not a
 * template.
 *
 * It refers to the caller's object, so it is passed down and never kept.
 */
#pragma once

#include <type_traits>

namespace gxy
{

template <typename... Arguments> class FunctionRef
{
public:
	template <typename F>
	requires(!std::is_same_v<F, FunctionRef>) FunctionRef(const F &f)
		: function(&f), call([](const void *function, Arguments... arguments) {
			  (*static_cast<const F *>(function))(arguments...);
		  })
	{
	}

	void operator()(Arguments... arguments) const { call(function, arguments...); }

private:
	const void *function;
	void (*call)(const void *function, Arguments... arguments);
};

} // namespace gxy

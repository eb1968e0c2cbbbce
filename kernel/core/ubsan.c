/*
 * What gcc's -fsanitize=undefined calls when it finds undefined behaviour (SAN=1 builds): every
 * finding is a panic with its kind and place. The layouts of the data are the compiler's
 * (gcc's libsanitizer interface); only their first member, the place, is used.
 */
#include "core/panic.h"
#include "lib/types.h"

struct source_location {
	const char *file;
	u32 line, column;
};

static __noreturn void
report(const struct source_location *at, const char *what)
{
	panic("undefined behaviour: %s at %s:%u:%u", what, at->file, at->line, at->column);
}

#define HANDLER(name, what, ...)                                                                   \
	void __ubsan_handle_##name(const struct source_location *at, ##__VA_ARGS__);               \
	void __ubsan_handle_##name(const struct source_location *at, ##__VA_ARGS__)                \
	{                                                                                          \
		report(at, what);                                                                  \
	}

HANDLER(add_overflow, "addition overflow", void *a, void *b)
HANDLER(sub_overflow, "subtraction overflow", void *a, void *b)
HANDLER(mul_overflow, "multiplication overflow", void *a, void *b)
HANDLER(negate_overflow, "negation overflow", void *a)
HANDLER(divrem_overflow, "division by zero or overflow", void *a, void *b)
HANDLER(shift_out_of_bounds, "shift out of bounds", void *a, void *b)
HANDLER(out_of_bounds, "array index out of bounds", void *index)
HANDLER(type_mismatch_v1, "null or misaligned pointer, or too small an object", void *p)
HANDLER(pointer_overflow, "pointer overflow", void *base, void *result)
HANDLER(load_invalid_value, "load of a value its type does not have", void *v)
HANDLER(vla_bound_not_positive, "array of no size", void *v)
HANDLER(builtin_unreachable, "a place that cannot be reached was")
HANDLER(missing_return, "a function ended without its return value")
HANDLER(nonnull_arg, "null passed where it may not be")
HANDLER(nonnull_return_v1, "null returned where it may not be", void *at2)
HANDLER(invalid_builtin, "a builtin called with a value it does not take")

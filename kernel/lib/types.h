/*
 * The integer types, annotations and small macros that every file uses.
 *
 * Integers that mean something have a type of their own: paddr_t is a physical
 * address, vaddr_t a virtual one, ns_t a time in nanoseconds (of the monotonic
 * clock unless a name says otherwise). Pointers to user memory carry __user and
 * are dereferenced only by mm/user.h.
 */
#ifndef LIB_TYPES_H
#define LIB_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;

typedef u64 paddr_t;
typedef u64 vaddr_t;
typedef s64 ns_t;
typedef int tid_t;
typedef s64 off64_k;

#ifdef HOLDFAST_HOST
#include <sys/types.h>
#else
typedef long ssize_t;
#endif

#ifdef __CHECKER__
#define __user	__attribute__((noderef, address_space(1)))
#define __force __attribute__((force))
#else
#define __user
#define __force
#endif

#define __must_check	  __attribute__((warn_unused_result))
#define __noreturn	  __attribute__((noreturn))
#define __packed	  __attribute__((packed))
#define __printf(f, a)	  __attribute__((format(printf, f, a)))
#define __always_inline_k inline __attribute__((always_inline))
#define __unused_k	  __attribute__((unused))

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))
#define ARRAY_SIZE(a)			(sizeof(a) / sizeof((a)[0]))

#define ALIGN_DOWN(x, a)   ((x) & ~((__typeof__(x))(a)-1))
#define ALIGN_UP(x, a)	   ALIGN_DOWN((x) + ((__typeof__(x))(a)-1), (a))
#define IS_ALIGNED(x, a)   (((x) & ((__typeof__(x))(a)-1)) == 0)
#define DIV_ROUND_UP(n, d) (((n) + (d)-1) / (d))

/* __COUNTER__ gives every use names of its own, so that uses may nest. */
#define MIN_MAX(a, b, op, n, m)                                                                    \
	({                                                                                         \
		__typeof__(a) n = (a);                                                             \
		__typeof__(b) m = (b);                                                             \
		n op m ? n : m;                                                                    \
	})
#define MIN_MAX_PASTE(x, y) x##y
#define MIN_MAX_NAME(x, y)  MIN_MAX_PASTE(x, y)
#define min(a, b)	    MIN_MAX(a, b, <, MIN_MAX_NAME(a_, __COUNTER__), MIN_MAX_NAME(b_, __COUNTER__))
#define max(a, b)	    MIN_MAX(a, b, >, MIN_MAX_NAME(a_, __COUNTER__), MIN_MAX_NAME(b_, __COUNTER__))

#define PAGE_SHIFT 12
#define PAGE_SIZE  4096UL
#define PAGE_MASK  (~(PAGE_SIZE - 1))
#define HUGE_SHIFT 21
#define HUGE_SIZE  (1UL << HUGE_SHIFT)

#define NS_PER_US  1000LL
#define NS_PER_MS  1000000LL
#define NS_PER_SEC 1000000000LL
#define NS_FOREVER INT64_MAX

/* "Handled by the return to user mode": never seen by a program (see proc/signal.h). */
#define ERESTARTSYS    512
#define ERESTARTNOINTR 513
#define ERESTARTNOHAND 514
#define ERESTART_BLOCK 516

#endif

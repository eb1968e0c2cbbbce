/*
 * Checks of kernel memory accesses, in SAN=1 builds (gcc's -fsanitize=kernel-address with a call
 * before every access instead of shadow memory). An access through the physmap to 16 bytes that
 * nobody owns is a panic: a free frame, a free slab object, the slack behind an object, or an
 * object that was freed twice.
 *
 * Checked is what runs on a kernel stack of mm/kstack.c: these exist once there are frames, and
 * before that not even this cluster's data may be mapped.
 *
 * Not found: an access within the last started 16 bytes of an object, one to memory that was given
 * out again, and those of stacks, of statics and of assembly. This file, the page allocator, the
 * slabs and boot/ are not instrumented.
 *
 * No locks: bits change by atomic operations, an object's own only by its owner.
 */
#include "mm/kasan.h"
#include "arch/layout.h"
#include "cluster/cluster.h"
#include "core/panic.h"
#include "lib/atomic.h"
#include "mm/frame.h"

#define WORD_BYTES (64 * KASAN_GRANULE) /* what one word of bits stands for */

static u64 *
word_of(paddr_t at, u64 *bit)
{
	u64 granule = at % PAGE_SIZE / KASAN_GRANULE;

	*bit = 1UL << granule % 64;
	return &frame_of_paddr(at)->poison.word[granule / 64];
}

/* Sets or clears the bits of [p, p + n), by words where all of a word is meant. */
static void
mark(void *p, size_t n, bool poison)
{
	paddr_t at = virt_to_phys(p), end = ALIGN_UP(at + n, KASAN_GRANULE);
	u64 bit;

	while (at < end) {
		u64 *word = word_of(at, &bit);

		if (bit == 1 && end - at >= WORD_BYTES) {
			atomic_store(word, poison ? ~0UL : 0);
			at += WORD_BYTES;
			continue;
		}
		if (poison)
			atomic_fetch_or(word, bit);
		else
			atomic_fetch_and(word, ~bit);
		at += KASAN_GRANULE;
	}
}

void
kasan_poison(void *p, size_t n)
{
	mark(p, n, true);
}

void
kasan_unpoison(void *p, size_t n)
{
	mark(p, n, false);
}

static bool
is_poisoned(paddr_t at)
{
	u64 bit;
	const u64 *word = word_of(at, &bit);

	return atomic_load_relaxed(word) & bit;
}

void
kasan_check_free(void *p)
{
	if (is_poisoned(virt_to_phys(p)))
		panic("kernel address %p freed twice", p);
}

static void
check(vaddr_t va, size_t n, const char *what, void *from)
{
	paddr_t first = va - PHYSMAP_BASE, last = first + n - 1;
	vaddr_t stack = (vaddr_t)__builtin_frame_address(0);

	if (va < PHYSMAP_BASE || va >= FRAMES_BASE || n == 0 || stack < KSTACKS_BASE ||
	    stack >= MMIO_BASE || machine()->panicking->begun || !frame_exists(first))
		return;
	for (paddr_t at = ALIGN_DOWN(first, KASAN_GRANULE); at <= last; at += KASAN_GRANULE)
		if (is_poisoned(at))
			panic("%s of %lu bytes at %lx, which nobody owns, by %p", what, n, va,
			      from);
}

#define HANDLER(kind, what, n)                                                                     \
	void __asan_##kind##n##_noabort(vaddr_t va);                                               \
	void __asan_##kind##n##_noabort(vaddr_t va)                                                \
	{                                                                                          \
		check(va, n, what, __builtin_return_address(0));                                   \
	}
#define HANDLERS(n)                                                                                \
	HANDLER(load, "load", n)                                                                   \
	HANDLER(store, "store", n)

HANDLERS(1)
HANDLERS(2)
HANDLERS(4)
HANDLERS(8)
HANDLERS(16)

void __asan_loadN_noabort(vaddr_t va, size_t n);
void __asan_storeN_noabort(vaddr_t va, size_t n);
void __asan_handle_no_return(void);

void
__asan_loadN_noabort(vaddr_t va, size_t n)
{
	check(va, n, "load", __builtin_return_address(0));
}

void
__asan_storeN_noabort(vaddr_t va, size_t n)
{
	check(va, n, "store", __builtin_return_address(0));
}

void
__asan_handle_no_return(void)
{
}

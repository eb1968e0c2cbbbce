/*
 * The copy functions for user memory: range checks around the primitives of arch/ (see user.h).
 * The primitives catch faults that mm_trap_page_fault() did not serve. Under a spinlock, or between
 * irq_push_off() and irq_pop_off(), no fault is served, which is what the _nofault forms use.
 */
#include <asm/errno.h>

#include "arch/layout.h"
#include "arch/trap.h"
#include "core/spinlock.h"
#include "mm/user.h"

bool
user_range_ok(const void __user *p, size_t n)
{
	vaddr_t start = (vaddr_t)(__force const void *)p;

	return n <= USER_TOP && start <= USER_TOP - n;
}

size_t
copy_from_user_some(void *dst, const void __user *src, size_t n)
{
	if (!user_range_ok(src, n))
		return 0;
	return n - arch_copy_user(dst, (__force const void *)src, n);
}

size_t
copy_to_user_some(void __user *dst, const void *src, size_t n)
{
	if (!user_range_ok(dst, n))
		return 0;
	return n - arch_copy_user((__force void *)dst, src, n);
}

int
copy_from_user(void *dst, const void __user *src, size_t n)
{
	return copy_from_user_some(dst, src, n) == n ? 0 : -EFAULT;
}

int
copy_to_user(void __user *dst, const void *src, size_t n)
{
	return copy_to_user_some(dst, src, n) == n ? 0 : -EFAULT;
}

int
clear_user(void __user *dst, size_t n)
{
	if (!user_range_ok(dst, n))
		return -EFAULT;
	return arch_clear_user((__force void *)dst, n) == 0 ? 0 : -EFAULT;
}

long
copy_string_from_user(char *dst, const char __user *src, size_t size)
{
	vaddr_t start = (vaddr_t)(__force const char *)src;
	size_t most;
	long len;

	if (start >= USER_TOP)
		return -EFAULT;
	most = size < USER_TOP - start ? size : USER_TOP - start;
	len = arch_copy_user_string(dst, (__force const char *)src, most);
	if (len < 0)
		return -EFAULT;
	if ((size_t)len < most)
		return len;
	return most < size ? -EFAULT : -ENAMETOOLONG;
}

static bool
word_ok(const u32 __user *p)
{
	return IS_ALIGNED((vaddr_t)(__force const u32 *)p, sizeof(u32)) &&
	       user_range_ok(p, sizeof(u32));
}

int
user_load32(u32 *out, const u32 __user *p)
{
	return word_ok(p) ? arch_user_load32(out, (__force const u32 *)p) : -EFAULT;
}

int
user_cas32(u32 *old_out, u32 __user *p, u32 expected, u32 desired)
{
	if (!word_ok(p))
		return -EFAULT;
	return arch_user_cas32(old_out, (__force u32 *)p, expected, desired);
}

int
user_load32_nofault(u32 *out, const u32 __user *p)
{
	int err;

	irq_push_off();
	err = user_load32(out, p);
	irq_pop_off();
	return err;
}

int
user_cas32_nofault(u32 *old_out, u32 __user *p, u32 expected, u32 desired)
{
	int err;

	irq_push_off();
	err = user_cas32(old_out, p, expected, desired);
	irq_pop_off();
	return err;
}

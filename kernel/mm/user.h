/*
 * The only way to user memory. Faults on the way are served as page faults (may sleep: no spinlock
 * held) or end in -EFAULT. Ranges are checked against USER_TOP. SMAP is open only inside.
 */
#ifndef MM_USER_H
#define MM_USER_H

#include "lib/types.h"

int __must_check copy_from_user(void *dst, const void __user *src, size_t n); /* 0 or -EFAULT */
int __must_check copy_to_user(void __user *dst, const void *src, size_t n);
int __must_check clear_user(void __user *dst, size_t n);
/* How many of n bytes could be copied (for short reads and writes). */
size_t copy_from_user_some(void *dst, const void __user *src, size_t n);
size_t copy_to_user_some(void __user *dst, const void *src, size_t n);
/* Length without the NUL; -EFAULT; -ENAMETOOLONG when there is no NUL in size bytes. */
long __must_check copy_string_from_user(char *dst, const char __user *src, size_t size);
bool user_range_ok(const void __user *p, size_t n);

#define get_user(x, uptr) copy_from_user(&(x), (uptr), sizeof(x))
#define put_user(x, uptr)                                                                          \
	({                                                                                         \
		__typeof__(*(uptr)) put_tmp = (__typeof__(*(uptr)))(x);                            \
		copy_to_user((uptr), &put_tmp, sizeof(put_tmp));                                   \
	})

/* Futex words and the like: 4-byte aligned. 0 or -EFAULT. May fault (sleep). */
int __must_check user_load32(u32 *out, const u32 __user *p);
int __must_check user_cas32(u32 *old_out, u32 __user *p, u32 expected, u32 desired);
/* The same without serving faults, for use under spinlocks: -EFAULT means fault it in and retry. */
int __must_check user_load32_nofault(u32 *out, const u32 __user *p);
int __must_check user_cas32_nofault(u32 *old_out, u32 __user *p, u32 expected, u32 desired);

#endif

/*
 * The strings of execve: copying them in, and the first stack of the program as the x86-64 ABI
 * wants it (argc, argv, envp, auxv, strings above).
 *
 * No locks: everything belongs to the task that calls execve.
 */
#include <asm/errno.h>
#include <linux/auxvec.h>
#include <linux/resource.h>

#include "arch/context.h"
#include "arch/cpu.h"
#include "core/random.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "mm/user.h"
#include "proc/exec.h"

#define STRINGS_FIRST 4096
#define PLATFORM      "x86_64"

static int
reserve(struct exec_strings *s, size_t more)
{
	size_t room = s->room ? s->room : STRINGS_FIRST;
	char *bytes;

	while (room - s->used < more)
		room *= 2;
	if (room == s->room)
		return 0;
	bytes = krealloc(s->bytes, s->room, room);
	if (!bytes)
		return -ENOMEM;
	s->bytes = bytes;
	s->room = room;
	return 0;
}

/* A quarter of the stack limit, at least 128 KiB, at most 6 MiB: for one vector as for both. */
static size_t
strings_limit(void)
{
	u64 limit = process_rlimit(RLIMIT_STACK) / 4;

	if (limit > 6UL << 20)
		limit = 6UL << 20;
	return limit < EXEC_STRING_MAX ? EXEC_STRING_MAX : limit;
}

int
exec_add_string(struct exec_strings *s, const char *string)
{
	size_t n = strlen(string) + 1;
	int err = reserve(s, n);

	if (err)
		return err;
	memcpy(s->bytes + s->used, string, n);
	s->used += n;
	s->count++;
	return 0;
}

/* Copies one string of unknown length from user memory, in growing steps. */
static int
add_user_string(struct exec_strings *s, const char __user *string)
{
	size_t step = 256;
	long n;
	int err;

	for (;;) {
		err = reserve(s, step);
		if (err)
			return err;
		n = copy_string_from_user(s->bytes + s->used, string, step);
		if (n >= 0)
			break;
		if (n != -ENAMETOOLONG)
			return (int)n;
		if (step >= EXEC_STRING_MAX)
			return -E2BIG;
		step *= 4;
	}
	s->used += (size_t)n + 1;
	s->count++;
	return s->used > strings_limit() ? -E2BIG : 0;
}

int
exec_copy_vector(struct exec_strings *s, char *const *vector, bool user)
{
	int err = 0;

	if (!vector)
		return 0;
	for (size_t i = 0; !err; i++) {
		char *string;

		if (s->count * sizeof(char *) > strings_limit())
			return -E2BIG;
		if (!user)
			string = vector[i];
		else if (get_user(string, (char *const __user *)vector + i))
			return -EFAULT;
		if (!string)
			return 0;
		err = user ? add_user_string(s, (const char __user __force *)string)
			   : exec_add_string(s, string);
	}
	return err;
}

int
exec_prepend(struct exec_strings *s, const char *interp, const char *arg, const char *path)
{
	struct exec_strings new = {0};
	size_t first = s->count ? strlen(s->bytes) + 1 : 0;
	int err = exec_add_string(&new, interp);

	if (!err && arg)
		err = exec_add_string(&new, arg);
	if (!err)
		err = exec_add_string(&new, path);
	if (!err)
		err = reserve(&new, s->used - first + 1);
	if (err) {
		exec_free_strings(&new);
		return err;
	}
	if (s->used > first)
		memcpy(new.bytes + new.used, s->bytes + first, s->used - first);
	new.used += s->used - first;
	new.count += s->count ? s->count - 1 : 0;
	exec_free_strings(s);
	*s = new;
	return 0;
}

void
exec_free_strings(struct exec_strings *s)
{
	kfree(s->bytes);
	*s = (struct exec_strings){0};
}

/* --- the stack --- */

static void
aux(struct exec_work *w, u64 type, u64 value)
{
	w->auxv[w->auxv_words++] = type;
	w->auxv[w->auxv_words++] = value;
}

static void
fill_auxv(struct exec_work *w, u64 random_at, u64 platform_at, u64 execfn_at)
{
	const struct credentials *c = &current_process()->cred;
	u32 r[4];

	cpuid(1, 0, r);
	if (w->map->vdso)
		aux(w, AT_SYSINFO_EHDR, w->map->vdso);
	aux(w, AT_MINSIGSTKSZ, sigframe_min_stack());
	aux(w, AT_HWCAP, r[3]);
	aux(w, AT_PAGESZ, PAGE_SIZE);
	aux(w, AT_CLKTCK, 100);
	aux(w, AT_PHDR, w->image.phdr_vaddr ? w->image.phdr_vaddr + w->base : 0);
	aux(w, AT_PHENT, ELF_PHDR_BYTES);
	aux(w, AT_PHNUM, w->image.phdr_count);
	aux(w, AT_BASE, w->interp_base);
	aux(w, AT_FLAGS, 0);
	aux(w, AT_ENTRY, w->image.entry + w->base);
	aux(w, AT_UID, c->uid);
	aux(w, AT_EUID, c->euid);
	aux(w, AT_GID, c->gid);
	aux(w, AT_EGID, c->egid);
	aux(w, AT_SECURE, c->uid != c->euid || c->gid != c->egid);
	aux(w, AT_RANDOM, random_at);
	aux(w, AT_HWCAP2, 0); /* no MONITOR in ring 3, no FSGSBASE */
	aux(w, AT_EXECFN, execfn_at);
	aux(w, AT_PLATFORM, platform_at);
	aux(w, AT_NULL, 0);
}

static int
poke(struct exec_work *w, u64 at, const void *bytes, size_t n)
{
	ssize_t done = n ? vm_map_copy(w->map, at, (void *)bytes, n, true) : 0;

	return done == (ssize_t)n ? 0 : done < 0 ? (int)done : -EFAULT;
}

/* Writes pointers to each of the strings at `strings`, and a NULL. Returns where it ended. */
static u64 *
put_pointers(u64 *p, const struct exec_strings *s, u64 strings)
{
	size_t at = 0;

	for (size_t i = 0; i < s->count; i++) {
		*p++ = strings + at;
		at += strlen(s->bytes + at) + 1;
	}
	*p++ = 0;
	return p;
}

int
exec_build_stack(struct exec_work *w)
{
	size_t name_len = strlen(w->name) + 1, words;
	u64 top = w->map->stack_top - 8, name_at, env_at, arg_at, platform_at, random_at, sp;
	u64 random[2], *block, *p;
	int err;

	name_at = top - name_len;
	env_at = name_at - w->envp.used;
	arg_at = env_at - w->argv.used;
	platform_at = ALIGN_DOWN(arg_at - sizeof(PLATFORM), 16) - exec_random_below(512) * 16;
	random_at = platform_at - 16;
	random_bytes(random, sizeof(random));
	fill_auxv(w, random_at, platform_at, name_at);
	words = 1 + w->argv.count + 1 + w->envp.count + 1 + w->auxv_words;
	sp = ALIGN_DOWN(random_at - words * 8, 16);
	block = kmalloc(words * 8);
	if (!block)
		return -ENOMEM;
	block[0] = w->argv.count;
	p = put_pointers(block + 1, &w->argv, arg_at);
	p = put_pointers(p, &w->envp, env_at);
	memcpy(p, w->auxv, w->auxv_words * 8);
	err = poke(w, name_at, w->name, name_len);
	err = err ? err : poke(w, env_at, w->envp.bytes, w->envp.used);
	err = err ? err : poke(w, arg_at, w->argv.bytes, w->argv.used);
	err = err ? err : poke(w, platform_at, PLATFORM, sizeof(PLATFORM));
	err = err ? err : poke(w, random_at, random, sizeof(random));
	err = err ? err : poke(w, sp, block, words * 8);
	kfree(block);
	w->stack = sp;
	w->map->arg_start = arg_at;
	w->map->arg_end = env_at;
	w->map->env_start = env_at;
	w->map->env_end = name_at;
	return err;
}

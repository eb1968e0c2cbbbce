/*
 * poll, ppoll, select, pselect6: what one thread waits for among many descriptors.
 *
 * Both families make a list of (descriptor, events), hold a reference on each file for the time of
 * the call, and scan until something is ready or the deadline has come. The time that is left is
 * written back by select, pselect6 and ppoll as Linux does: not when the call is restarted.
 */
#include <asm/errno.h>
#include <asm/poll.h>

#include "arch/clock.h"
#include "calls.h"
#include "file/fdtable.h"
#include "lib/string.h"
#include "linux/dispatch.h"
#include "linux/deadline.h"
#include "linux/sigmask.h"
#include "mm/slab.h"
#include "proc/process.h"

#define SMALL 24 /* descriptors that need no allocation */

struct wait_item {
	struct file *file; /* referenced; NULL: not open, or fd < 0 */
	unsigned wanted;   /* and what poll always reports */
	unsigned events;
	int fd;
};

/* --- the wait --- */

static unsigned
item_ask(struct wait_item *it, struct poll_table *pt)
{
	if (!it->file)
		return it->fd < 0 ? 0 : POLLNVAL;
	return file_poll(it->file, pt) & it->wanted;
}

/* One look at all of them; hangs waiters until one is ready. How many are. */
static int
scan(struct wait_item *items, unsigned n, struct poller *p)
{
	int ready = 0;

	for (unsigned i = 0; i < n; i++) {
		items[i].events = item_ask(&items[i], p && ready == 0 ? &p->table : NULL);
		if (items[i].events)
			ready++;
	}
	return ready;
}

/* How many are ready; 0 at the deadline (0: does not wait); -ERESTARTNOHAND, -ENOMEM. */
static int
wait_items(struct wait_item *items, unsigned n, ns_t deadline)
{
	struct poller p;
	int ready, err = 0;

	if (deadline == 0)
		return scan(items, n, NULL);
	poller_init(&p);
	ready = scan(items, n, &p);
	while (ready == 0 && !err) {
		err = poller_wait(&p, deadline);
		if (!err || err == -ETIMEDOUT)
			ready = scan(items, n, NULL);
	}
	poller_done(&p);
	if (ready > 0 || err == -ETIMEDOUT)
		return ready;
	return err == -ERESTARTSYS ? -ERESTARTNOHAND : err;
}

static void
items_put(struct wait_item *items, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (items[i].file)
			file_put(items[i].file);
}

/* --- poll --- */

static int
poll_fetch(struct wait_item *items, const struct pollfd __user *fds, unsigned n)
{
	struct pollfd chunk[16];

	for (unsigned i = 0; i < n; i++) {
		if (i % 16 == 0) {
			size_t k = min(n - i, 16u);

			if (copy_from_user(chunk, fds + i, k * sizeof(chunk[0]))) {
				items_put(items, i);
				return -EFAULT;
			}
		}
		items[i].fd = chunk[i % 16].fd;
		items[i].wanted = (u16)chunk[i % 16].events | POLLERR | POLLHUP;
		items[i].file = items[i].fd >= 0 ? fd_get_io(items[i].fd) : NULL;
	}
	return 0;
}

static int
poll_store(const struct wait_item *items, struct pollfd __user *fds, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (put_user((short)items[i].events, &fds[i].revents))
			return -EFAULT;
	return 0;
}

static long
do_poll(struct pollfd __user *fds, unsigned n, ns_t deadline)
{
	struct wait_item small[SMALL], *items = small;
	long r;

	if (n > fdtable_limit(current_process()->files))
		return -EINVAL;
	if (n > SMALL) {
		items = kcalloc(n, sizeof(*items));
		if (!items)
			return -ENOMEM;
	}
	r = poll_fetch(items, fds, n);
	if (!r) {
		r = wait_items(items, n, deadline);
		if (r >= 0 && poll_store(items, fds, n))
			r = -EFAULT;
		items_put(items, n);
	}
	if (items != small)
		kfree(items);
	return r;
}

long
restart_poll(struct restart_block *b)
{
	long r = do_poll((struct pollfd __user *)b->arg[0], b->arg[1], b->deadline);

	return r == -ERESTARTNOHAND ? -ERESTART_BLOCK : r;
}

long
sys_poll(struct pollfd __user *fds, unsigned nfds, int timeout_ms)
{
	ns_t deadline = deadline_after_ms(timeout_ms);
	long r = do_poll(fds, nfds, deadline);

	if (r == -ERESTARTNOHAND) {
		struct restart_block *b = &current_task()->restart;

		b->fn = restart_poll;
		b->deadline = deadline;
		b->arg[0] = (u64)fds;
		b->arg[1] = nfds;
		r = -ERESTART_BLOCK;
	}
	return r;
}

/* Writes the time left; a fault there makes the call not restartable, as in Linux. */
static long
finish_timespec(long r, void __user *ts, ns_t deadline)
{
	struct __kernel_timespec left;

	if (!ts)
		return r;
	left = timespec_from_ns(deadline_left(deadline));
	if (copy_to_user(ts, &left, sizeof(left)) && r == -ERESTARTNOHAND)
		return -EINTR;
	return r;
}

long
sys_ppoll(struct pollfd __user *fds, unsigned nfds, void __user *ts, const u64 __user *mask,
	  size_t size)
{
	struct temporary_mask m;
	ns_t deadline;
	long r = deadline_from_user(ts, &deadline);

	if (!r)
		r = temporary_mask_begin(&m, mask, size);
	if (r)
		return r;
	r = do_poll(fds, nfds, deadline);
	temporary_mask_end(&m, r == -ERESTARTNOHAND);
	return finish_timespec(r, ts, deadline);
}

/* --- select --- */

#define IN_BITS	 (POLLIN | POLLRDNORM | POLLRDBAND | POLLHUP | POLLERR)
#define OUT_BITS (POLLOUT | POLLWRNORM | POLLWRBAND | POLLERR)
#define EX_BITS	 POLLPRI

struct fd_sets {
	u64 *in, *out, *ex; /* words */
	unsigned words;
};

static bool
bit_get(const u64 *set, unsigned i)
{
	return set[i / 64] >> (i % 64) & 1;
}

static int
set_fetch(u64 *to, const u64 __user *from, unsigned words)
{
	if (from)
		return copy_from_user(to, from, words * sizeof(u64));
	memset(to, 0, words * sizeof(u64));
	return 0;
}

/* The items of all descriptors named: their number, or -EBADF. With items NULL only counts. */
static int
select_items(const struct fd_sets *s, int n, struct wait_item *items)
{
	unsigned count = 0;

	for (int fd = 0; fd < n; fd++) {
		bool in = bit_get(s->in, fd), out = bit_get(s->out, fd), ex = bit_get(s->ex, fd);

		if (!in && !out && !ex)
			continue;
		if (items) {
			struct wait_item *it = &items[count];

			it->fd = fd;
			it->wanted = (in ? IN_BITS : 0) | (out ? OUT_BITS : 0) | (ex ? EX_BITS : 0);
			it->file = fd_get_io(fd);
			if (!it->file) {
				items_put(items, count);
				return -EBADF;
			}
		}
		count++;
	}
	return count;
}

/* Turns results into bits of the sets; how many bits. */
static int
select_results(struct fd_sets *s, const struct wait_item *items, unsigned count)
{
	int bits = 0;
	u64 *old[3] = {s->in, s->out, s->ex};
	static const unsigned events[3] = {IN_BITS, OUT_BITS, EX_BITS};

	for (unsigned i = 0; i < count; i++) {
		for (int k = 0; k < 3; k++) {
			u64 bit = 1UL << (items[i].fd % 64), *word = &old[k][items[i].fd / 64];

			if (!(*word & bit))
				continue;
			if (items[i].events & events[k])
				bits++;
			else
				*word &= ~bit;
		}
	}
	return bits;
}

static long
select_wait(struct fd_sets *s, int n, ns_t deadline)
{
	struct wait_item small[SMALL], *items = small;
	int count = select_items(s, n, NULL);
	long r;

	if (count > SMALL) {
		items = kcalloc(count, sizeof(*items));
		if (!items)
			return -ENOMEM;
	}
	r = select_items(s, n, items);
	if (r >= 0) {
		r = wait_items(items, count, deadline);
		if (r >= 0)
			r = select_results(s, items, count);
		items_put(items, count);
	}
	if (items != small)
		kfree(items);
	return r;
}

static long
do_select(int n, u64 __user *in, u64 __user *out, u64 __user *ex, ns_t deadline)
{
	u64 small[3 * 16], *words = small;
	struct fd_sets s;
	size_t size;
	long r;

	if (n < 0)
		return -EINVAL;
	n = min((u64)n, fdtable_limit(current_process()->files));
	s.words = DIV_ROUND_UP(n, 64);
	size = s.words * sizeof(u64);
	if (s.words > 16) {
		words = kcalloc(s.words * 3, sizeof(u64));
		if (!words)
			return -ENOMEM;
	}
	s.in = words;
	s.out = words + s.words;
	s.ex = words + 2 * s.words;
	r = -EFAULT;
	if (set_fetch(s.in, in, s.words) || set_fetch(s.out, out, s.words) ||
	    set_fetch(s.ex, ex, s.words))
		goto free;
	r = select_wait(&s, n, deadline);
	if (r >= 0 &&
	    ((in && copy_to_user(in, s.in, size)) || (out && copy_to_user(out, s.out, size)) ||
	     (ex && copy_to_user(ex, s.ex, size))))
		r = -EFAULT;
free:
	if (words != small)
		kfree(words);
	return r;
}

struct user_timeval {
	s64 sec, usec;
};

static int
deadline_from_timeval(const void __user *tv, ns_t *out)
{
	struct user_timeval k;

	*out = NS_FOREVER;
	if (!tv)
		return 0;
	if (copy_from_user(&k, tv, sizeof(k)))
		return -EFAULT;
	if (k.sec < 0 || k.usec < 0)
		return -EINVAL;
	if (k.sec < NS_FOREVER / NS_PER_SEC / 2 && k.usec < NS_FOREVER / NS_PER_US / 2)
		*out = deadline_after(k.sec * NS_PER_SEC + k.usec * NS_PER_US);
	return 0;
}

long
sys_select(int n, u64 __user *in, u64 __user *out, u64 __user *ex, void __user *tv)
{
	struct user_timeval left;
	ns_t deadline, ns;
	long r = deadline_from_timeval(tv, &deadline);

	if (r)
		return r;
	r = do_select(n, in, out, ex, deadline);
	if (!tv)
		return r;
	ns = deadline_left(deadline);
	left = (struct user_timeval){ns / NS_PER_SEC, ns % NS_PER_SEC / NS_PER_US};
	if (copy_to_user(tv, &left, sizeof(left)) && r == -ERESTARTNOHAND)
		return -EINTR;
	return r;
}

long
sys_pselect6(int n, u64 __user *in, u64 __user *out, u64 __user *ex, void __user *ts,
	     void __user *sig)
{
	struct {
		const u64 __user *mask;
		size_t size;
	} packed = {NULL, 0};
	struct temporary_mask m;
	ns_t deadline;
	long r;

	if (sig && copy_from_user(&packed, sig, sizeof(packed)))
		return -EFAULT;
	r = deadline_from_user(ts, &deadline);
	if (!r)
		r = temporary_mask_begin(&m, packed.mask, packed.size);
	if (r)
		return r;
	r = do_select(n, in, out, ex, deadline);
	temporary_mask_end(&m, r == -ERESTARTNOHAND);
	return finish_timespec(r, ts, deadline);
}

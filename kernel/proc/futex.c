/*
 * Futexes: waiting on a word of user memory.
 *
 * A hash table of buckets, sized by cores; each waiter is on its task's stack, on the list of the
 * bucket that its key falls into. A key is (object, offset) for shared memory, so that it is the
 * same in every process, and (map, address) for private memory.
 *
 * Why no wake-up is lost: the waiter reads the word and joins the list under the bucket's lock; a
 * waker changes the word before it takes that lock. It either changes the word before the waiter
 * reads it, or finds the waiter on the list. The read must not fault with the lock held, so it is
 * the no-fault load; when that fails the page is faulted in without the lock and all starts over.
 *
 * A waiter may be moved to another bucket while it sleeps, so what it sleeps on is its own lock,
 * not the bucket's. Locks: bucket (two in order of address), then waiter->lock.
 *
 * After a resume a waiter goes on waiting where it was, which need not be where its call says, as
 * it may have been moved: in private memory at the address it notes (core/blocked.h), in shared
 * memory at the word of the object that futex_save names.
 *
 * Left out: priority inheritance (FUTEX_LOCK_PI and its kin are -ENOSYS).
 */
#include <asm/errno.h>
#include <linux/futex.h>

#include "core/blocked.h"
#include "core/sched.h"
#include "mm/cut.h"
#include "mm/slab.h"
#include "mm/user.h"
#include "proc/futex.h"
#include "proc/process.h"

#define BUCKETS_PER_CORE 256
#define ROBUST_LIMIT	 2048 /* entries of a list, as Linux */

struct futex_key {
	void *base; /* object or map */
	u64 offset;
};

struct bucket {
	struct spinlock lock; /* rank RANK_FUTEX */
	struct list waiters;  /* [lock] struct futex_waiter */
} __attribute__((aligned(64)));

struct futexes {
	struct bucket *bucket; /* [I] */
	u64 mask;	       /* [I] */
};

struct futex_waiter {
	struct list link;      /* [bucket] */
	struct bucket *bucket; /* [bucket; a] where it is now */
	struct futex_key key;  /* [bucket] */
	u32 bitset;	       /* [I] */
	struct spinlock lock;
	struct thread *thread;	/* [I] */
	struct waitq sleep;	/* [lock] */
	bool woken;		/* [lock] */
	struct vm_object *held; /* [bucket] the reference its key stands on */
};

int
futex_init(void)
{
	struct futexes *fs = kzalloc(sizeof(*fs));
	u64 n = BUCKETS_PER_CORE;

	if (!fs)
		return -ENOMEM;
	while (n < machine()->ncores * (u64)BUCKETS_PER_CORE)
		n *= 2;
	fs->bucket = kmalloc(n * sizeof(struct bucket));
	if (!fs->bucket) {
		kfree(fs);
		return -ENOMEM;
	}
	for (u64 i = 0; i < n; i++) {
		spin_init(&fs->bucket[i].lock, "futex", RANK_FUTEX);
		list_init(&fs->bucket[i].waiters);
	}
	fs->mask = n - 1;
	machine()->futexes = fs;
	return 0;
}

/* --- over a power cut --- */

enum { FUTEX_OBJECT = 1, FUTEX_OFFSET = 2 };

bool
futex_saves(const struct task *t)
{
	return t->futex && t->futex->held;
}

void
futex_save(struct persist_writer *w, u16 tag, const struct task *t)
{
	size_t group;

	if (!futex_saves(t))
		return;
	group = tag_begin(&w->tags, tag);
	persist_ref(w, FUTEX_OBJECT, &vm_object_persist, t->futex->held);
	tag_u64(&w->tags, FUTEX_OFFSET, t->futex->key.offset);
	tag_end(&w->tags, group);
}

int
futex_load(struct persist_reader *r, u16 tag, struct task *t)
{
	struct tag_field f = {0};
	struct tag_reader in;

	if (!tag_next(&r->tags, tag, &f))
		return 0;
	in = tag_group(&f);
	t->futex_object = persist_get(r, &in, FUTEX_OBJECT, &vm_object_persist);
	if (!t->futex_object)
		return -EBADMSG;
	vm_object_get(t->futex_object);
	t->futex_offset = tag_get_u64(&in, FUTEX_OFFSET, 0);
	return 0;
}

/* --- keys --- */

/* *held is a reference to put when the key is no longer needed; NULL for private memory. */
static int
make_key(u32 __user *uaddr, bool shared, struct futex_key *key, struct vm_object **held)
{
	struct vm_map *map = current_process()->map;
	int err;

	*held = NULL;
	if ((u64)uaddr & 3)
		return -EINVAL;
	if (!user_range_ok(uaddr, sizeof(*uaddr)))
		return -EFAULT;
	key->base = map;
	key->offset = (u64)uaddr;
	if (!shared)
		return 0;
	err = vm_futex_key(map, (vaddr_t)uaddr, held, &key->offset);
	if (err)
		return err;
	if (*held)
		key->base = *held;
	else
		key->offset = (u64)uaddr;
	return 0;
}

/* The key of a waiter's word. A task that slept on one at the cut has it from futex_load. */
static int
make_waiter_key(u32 __user *uaddr, bool shared, struct futex_waiter *w)
{
	struct task *t = current_task();

	if (!t->futex_object)
		return make_key(uaddr, shared, &w->key, &w->held);
	w->held = t->futex_object;
	w->key = (struct futex_key){w->held, t->futex_offset};
	t->futex_object = NULL;
	return 0;
}

static void
drop_key(struct vm_object *held)
{
	if (held)
		vm_object_put(held);
}

static struct bucket *
bucket_of(const struct futex_key *key)
{
	struct futexes *fs = machine()->futexes;
	u64 h = ((u64)key->base ^ (key->offset >> 2)) * 0x9e3779b97f4a7c15UL;

	return &fs->bucket[(h >> 32) & fs->mask];
}

static bool
same_key(const struct futex_key *a, const struct futex_key *b)
{
	return a->base == b->base && a->offset == b->offset;
}

/* Takes w off its list and wakes it. => its bucket's lock held; w is gone on return */
static void
wake_waiter(struct futex_waiter *w)
{
	list_del(&w->link);
	atomic_store(&w->bucket, NULL);
	spin_lock(&w->lock);
	w->woken = true;
	waitq_wake_all(&w->sleep);
	spin_unlock(&w->lock);
}

static int
wake_in_bucket(struct bucket *b, const struct futex_key *key, int count, u32 bitset)
{
	struct futex_waiter *w, *next;
	int woken = 0;

	list_for_each_entry_safe (w, next, &b->waiters, link) {
		if (woken >= count)
			break;
		if (!same_key(&w->key, key) || !(w->bitset & bitset))
			continue;
		wake_waiter(w);
		woken++;
	}
	return woken;
}

/* Locks the waiter's bucket, wherever it has been moved; NULL when it was woken. */
static struct bucket *
lock_bucket_of(struct futex_waiter *w)
{
	struct bucket *b;

	while ((b = atomic_load(&w->bucket)) != NULL) {
		spin_lock(&b->lock);
		if (b == atomic_load(&w->bucket))
			return b;
		spin_unlock(&b->lock);
	}
	return NULL;
}

/* Sleeps until woken. 0, -ETIMEDOUT, -ERESTARTSYS. */
static int
sleep_on(struct futex_waiter *w, ns_t deadline, bool wall)
{
	unsigned how = WAIT_INTERRUPTIBLE | (wall ? WAIT_WALL : 0);
	struct bucket *b;
	int err = 0;

	spin_lock(&w->lock);
	while (!w->woken && !err)
		err = waitq_sleep(&w->sleep, &w->lock, deadline, how);
	if (w->woken)
		err = 0;
	spin_unlock(&w->lock);
	if (!err)
		return 0;
	b = lock_bucket_of(w);
	if (b) {
		list_del(&w->link);
		spin_unlock(&b->lock);
		return err;
	}
	/* A waker was faster than the deadline or signal. It may still be at w->lock. */
	spin_lock(&w->lock);
	while (!w->woken) {
		spin_unlock(&w->lock);
		spin_lock(&w->lock);
	}
	spin_unlock(&w->lock);
	return 0;
}

/* Joins the list if the word has the value: 0, -EAGAIN, or -EFAULT with nothing joined. Who was on
 * it at a cut is on it again after the resume, whatever the word says now: nobody has woken it. */
static int
enqueue_if(struct futex_waiter *w, u32 __user *uaddr, u32 value, bool again)
{
	struct bucket *b = bucket_of(&w->key);
	u32 now;
	int err;

	spin_lock(&b->lock);
	err = again ? 0 : user_load32_nofault(&now, uaddr);
	if (!err && !again && now != value)
		err = -EAGAIN;
	if (!err) {
		w->thread->blocked.done = (u64)uaddr; /* blocked_note(), with the thread at hand */
		w->bucket = b;
		list_add_tail(&b->waiters, &w->link);
	}
	spin_unlock(&b->lock);
	return err;
}

long
futex_wait(u32 __user *uaddr, int flags, u32 value, ns_t deadline, u32 bitset)
{
	struct futex_waiter w = {.bitset = bitset, .thread = current_thread()};
	u64 again = blocked_done();
	u32 word;
	int err;

	if (bitset == 0)
		return -EINVAL;
	if (again)
		uaddr = (u32 __user *)again; /* where it had been moved to */
	spin_init(&w.lock, "futex waiter", RANK_WAITQ);
	waitq_init(&w.sleep);
	list_init(&w.link);
	for (;;) {
		err = make_waiter_key(uaddr, !(flags & FUTEX_PRIVATE_FLAG), &w);
		if (err)
			return err;
		err = enqueue_if(&w, uaddr, value, again != 0);
		if (err != -EFAULT)
			break;
		drop_key(w.held);
		err = user_load32(&word, uaddr);
		if (err)
			return err;
	}
	current_task()->futex = &w;
	if (!err)
		err = sleep_on(&w, deadline, flags & FUTEX_CLOCK_REALTIME);
	current_task()->futex = NULL;
	w.thread->blocked.done = 0;
	drop_key(w.held);
	return err;
}

long
futex_wake(u32 __user *uaddr, bool shared, int count, u32 bitset)
{
	struct vm_object *held;
	struct futex_key key;
	struct bucket *b;
	int woken, err;

	if (bitset == 0)
		return -EINVAL;
	err = make_key(uaddr, shared, &key, &held);
	if (err)
		return err;
	b = bucket_of(&key);
	spin_lock(&b->lock);
	woken = wake_in_bucket(b, &key, max(count, 1), bitset);
	spin_unlock(&b->lock);
	drop_key(held);
	return woken;
}

static void
lock_two(struct bucket *a, struct bucket *b)
{
	if (a > b) {
		struct bucket *t = a;

		a = b;
		b = t;
	}
	spin_lock(&a->lock);
	if (a != b)
		spin_lock(&b->lock);
}

static void
unlock_two(struct bucket *a, struct bucket *b)
{
	spin_unlock(&a->lock);
	if (a != b)
		spin_unlock(&b->lock);
}

/* Moves up to n waiters of `from` to `to`, with a reference of the new key's object for each.
 * => both buckets' locks held */
static int
move_waiters(struct bucket *a, const struct futex_key *from, struct bucket *b,
	     const struct futex_key *to, struct vm_object *to_held, int n)
{
	struct futex_waiter *w, *next;
	struct list moved = LIST_INIT(moved);
	int done = 0;

	list_for_each_entry_safe (w, next, &a->waiters, link) {
		if (done >= n)
			break;
		if (!same_key(&w->key, from))
			continue;
		list_del(&w->link);
		list_add_tail(&moved, &w->link);
		w->key = *to;
		if (to_held)
			vm_object_get(to_held);
		/* The last reference of an object is never dropped here: the caller has one. */
		drop_key(w->held);
		w->held = to_held;
		if (!to_held)
			w->thread->blocked.done = to->offset;
		atomic_store(&w->bucket, b);
		done++;
	}
	list_splice_tail(&b->waiters, &moved);
	return done;
}

struct requeue { /* from [0] to [1] */
	struct futex_key keys[2];
	struct vm_object *held[2];
	struct bucket *bucket[2];
	int wake, move;
};

static long
requeue_locked(u32 __user *from_addr, const u32 *compare, const struct requeue *r)
{
	long woken, moved;
	u32 now;

	if (compare) {
		if (user_load32_nofault(&now, from_addr))
			return -EFAULT;
		if (now != *compare)
			return -EAGAIN;
	}
	woken = wake_in_bucket(r->bucket[0], &r->keys[0], r->wake, ~0u);
	moved = move_waiters(r->bucket[0], &r->keys[0], r->bucket[1], &r->keys[1], r->held[1],
			     r->move);
	return woken + moved; /* also for FUTEX_REQUEUE: Linux does, whatever man 2 futex says */
}

long
futex_requeue(u32 __user *from, u32 __user *to, bool shared, int wake, int move, const u32 *compare)
{
	struct requeue r = {.wake = wake, .move = move};
	long result;
	u32 word;

	if (wake < 0 || move < 0)
		return -EINVAL;
	for (;;) {
		result = make_key(from, shared, &r.keys[0], &r.held[0]);
		if (result)
			return result;
		result = make_key(to, shared, &r.keys[1], &r.held[1]);
		if (result) {
			drop_key(r.held[0]);
			return result;
		}
		r.bucket[0] = bucket_of(&r.keys[0]);
		r.bucket[1] = bucket_of(&r.keys[1]);
		lock_two(r.bucket[0], r.bucket[1]);
		result = requeue_locked(from, compare, &r);
		unlock_two(r.bucket[0], r.bucket[1]);
		drop_key(r.held[0]);
		drop_key(r.held[1]);
		if (result != -EFAULT)
			return result;
		result = user_load32(&word, from);
		if (result)
			return result;
	}
}

/* FUTEX_OP: the new value for the old one; *known false for an unknown operation. */
static u32
wake_op_value(u32 op, u32 old, bool *known)
{
	u32 arg = (u32)((s32)(op << 8) >> 20);

	if (op >> 28 & FUTEX_OP_OPARG_SHIFT) /* bit 3 of the operation */
		arg = 1u << (arg & 31);
	*known = true;
	switch (op >> 28 & 7) {
	case FUTEX_OP_SET:
		return arg;
	case FUTEX_OP_ADD:
		return old + arg;
	case FUTEX_OP_OR:
		return old | arg;
	case FUTEX_OP_ANDN:
		return old & ~arg;
	case FUTEX_OP_XOR:
		return old ^ arg;
	}
	*known = false;
	return 0;
}

static bool
wake_op_compare(u32 op, u32 old_word, bool *known)
{
	s32 old = (s32)old_word, arg = (s32)(op << 20) >> 20;

	*known = true;
	switch (op >> 24 & 15) {
	case FUTEX_OP_CMP_EQ:
		return old == arg;
	case FUTEX_OP_CMP_NE:
		return old != arg;
	case FUTEX_OP_CMP_LT:
		return old < arg;
	case FUTEX_OP_CMP_LE:
		return old <= arg;
	case FUTEX_OP_CMP_GT:
		return old > arg;
	case FUTEX_OP_CMP_GE:
		return old >= arg;
	}
	*known = false;
	return false;
}

/* Changes the word atomically without faulting. 0 and *old, -EFAULT, -ENOSYS. */
static int
wake_op_change(u32 __user *uaddr, u32 op, u32 *old)
{
	u32 was, seen, new;
	bool known;

	if (user_load32_nofault(&was, uaddr))
		return -EFAULT;
	for (;;) {
		new = wake_op_value(op, was, &known);
		if (!known)
			return -ENOSYS;
		if (user_cas32_nofault(&seen, uaddr, was, new))
			return -EFAULT;
		if (seen == was)
			break;
		was = seen;
	}
	*old = was;
	return 0;
}

static long
wake_op_locked(u32 __user *addr_b, u32 op, struct bucket *a, struct bucket *b,
	       const struct futex_key keys[2], const int wake[2])
{
	long woken;
	bool known;
	u32 old;
	int err;

	(void)wake_op_compare(op, 0, &known);
	if (!known)
		return -ENOSYS;
	err = wake_op_change(addr_b, op, &old);
	if (err)
		return err;
	woken = wake_in_bucket(a, &keys[0], wake[0], ~0u);
	if (wake_op_compare(op, old, &known))
		woken += wake_in_bucket(b, &keys[1], wake[1], ~0u);
	return woken;
}

long
futex_wake_op(u32 __user *addr_a, u32 __user *addr_b, bool shared, int wake_a, int wake_b, u32 op)
{
	const int wake[2] = {wake_a, wake_b};
	struct vm_object *held[2];
	struct futex_key keys[2];
	struct bucket *a, *b;
	long result;
	u32 word, seen;

	for (;;) {
		result = make_key(addr_a, shared, &keys[0], &held[0]);
		if (result)
			return result;
		result = make_key(addr_b, shared, &keys[1], &held[1]);
		if (result) {
			drop_key(held[0]);
			return result;
		}
		a = bucket_of(&keys[0]);
		b = bucket_of(&keys[1]);
		lock_two(a, b);
		result = wake_op_locked(addr_b, op, a, b, keys, wake);
		unlock_two(a, b);
		drop_key(held[0]);
		drop_key(held[1]);
		if (result != -EFAULT)
			return result;
		/* Fault it in for writing: exchange the word for itself. */
		result = user_load32(&word, addr_b);
		if (!result)
			result = user_cas32(&seen, addr_b, word, word);
		if (result)
			return result;
	}
}

/* --- robust lists --- */

/* The owner died: marks the word and wakes a waiter. Returns whether the list may be followed on.
 */
static bool
robust_died(u32 __user *uaddr, u32 tid, bool pending)
{
	u32 word, seen, new;

	if ((u64)uaddr & 3 || user_load32(&word, uaddr))
		return false;
	if (pending && word == 0) {
		(void)futex_wake(uaddr, true, 1, ~0u);
		return true;
	}
	for (;;) {
		if ((word & FUTEX_TID_MASK) != tid)
			return true;
		new = (word & FUTEX_WAITERS) | FUTEX_OWNER_DIED;
		if (user_cas32(&seen, uaddr, word, new))
			return false;
		if (seen == word)
			break;
		word = seen;
	}
	if (word & FUTEX_WAITERS)
		(void)futex_wake(uaddr, true, 1, ~0u);
	return true;
}

void
futex_exit_robust(struct task *t)
{
	struct robust_list_head __user *head = t->robust_list;
	struct robust_list_head h;
	u32 tid = (u32)t->thread.tid;
	u64 entry, pending, next;

	t->robust_list = NULL;
	if (!head || copy_from_user(&h, head, sizeof(h)))
		return;
	pending = (u64)h.list_op_pending & ~1UL;
	entry = (u64)h.list.next;
	for (int n = 0; (entry & ~1UL) != (u64)head && n < ROBUST_LIMIT; n++) {
		u64 at = entry & ~1UL;

		/* Read on before the mutex is let go: its memory may be freed at once. */
		if (get_user(next, (u64 __user *)at))
			next = (u64)head;
		if (at != pending &&
		    !robust_died((u32 __user *)(at + (u64)h.futex_offset), tid, false))
			return;
		entry = next;
		sched_point();
	}
	if (pending)
		(void)robust_died((u32 __user *)(pending + (u64)h.futex_offset), tid, true);
}

/*
 * Kernel stacks and the kernel threads on them.
 *
 * Each cluster has 4 GiB of the KSTACKS region, cut into slots of a guard page that is never mapped
 * and the stack above it; a stack that overflows runs into the guard and panics instead of writing
 * into its neighbour. A slot once mapped stays so; free ones are linked through their lowest bytes.
 *
 * Lock: kstacks->lock (rank RANK_SLAB: frames are taken under it).
 */
#include <asm/errno.h>

#include "cluster/cluster.h"
#include "lib/assert.h"
#include "mm/frame.h"
#include "mm/kmap.h"
#include "mm/kstack.h"
#include "mm/slab.h"

#define SLOT_SIZE  (KSTACK_SIZE + PAGE_SIZE)
#define SLOT_COUNT ((1UL << KSTACKS_SHIFT) / SLOT_SIZE)

struct free_stack {
	struct free_stack *next;
};

struct kstacks {
	struct spinlock lock;
	struct free_stack *free; /* [lock] */
	u64 made;		 /* [lock] slots mapped so far */
	u64 unused;		 /* [a] on the free list */
};

struct kthread {
	struct thread thread; /* first */
	void (*fn)(void *arg);
	void *arg;
};

static vaddr_t
cluster_base(unsigned cxy)
{
	return KSTACKS_BASE + ((vaddr_t)cxy << KSTACKS_SHIFT);
}

void
kstack_init_cluster(void)
{
	struct kstacks *k = kzalloc(sizeof(*k));

	assert(k != NULL);
	spin_init(&k->lock, "kstacks", RANK_SLAB);
	this_cluster()->kstacks = k;
}

/* Maps the pages of a slot that are not mapped yet: an earlier try may have stopped half-way. */
static int
slot_map(vaddr_t stack, unsigned cxy)
{
	for (u64 at = 0; at < KSTACK_SIZE; at += PAGE_SIZE) {
		struct frame *f = frame_alloc_on(cxy, 0, FRAME_RESERVE | FRAME_KERNEL);
		int err = f == NULL
				  ? -ENOMEM
				  : kmap_page(stack + at, frame_paddr(f), KMAP_MEMORY, kmap_table);

		if (err == 0)
			frame_account(f, FRAME_USE_KSTACK, 1);
		else if (f != NULL)
			frame_put(f);
		if (err == -ENOMEM)
			return err;
	}
	return 0;
}

void *
kstack_alloc(unsigned cxy)
{
	struct kstacks *k = machine()->cluster[cxy]->kstacks;
	struct free_stack *s;

	spin_lock(&k->lock);
	s = k->free;
	if (s != NULL) {
		k->free = s->next;
		(void)atomic_fetch_sub(&k->unused, 1);
	} else if (k->made < SLOT_COUNT) {
		vaddr_t stack = cluster_base(cxy) + k->made * SLOT_SIZE + PAGE_SIZE;

		if (slot_map(stack, cxy) == 0) {
			k->made++;
			s = (void *)stack;
		}
	}
	spin_unlock(&k->lock);
	return s;
}

void
kstack_free(void *stack)
{
	unsigned cxy = ((vaddr_t)stack - KSTACKS_BASE) >> KSTACKS_SHIFT;
	struct kstacks *k = machine()->cluster[cxy]->kstacks;
	struct free_stack *s = stack;

	assert(((vaddr_t)stack - cluster_base(cxy)) % SLOT_SIZE == PAGE_SIZE);
	spin_lock(&k->lock);
	s->next = k->free;
	k->free = s;
	atomic_add_relaxed(&k->unused, 1);
	spin_unlock(&k->lock);
}

u64
kstack_free_pages(void)
{
	u64 stacks = 0;

	for (unsigned i = 0; i < machine()->nclusters; i++)
		stacks += atomic_load_relaxed(&machine()->cluster[i]->kstacks->unused);
	return stacks * (KSTACK_SIZE / PAGE_SIZE);
}

static void
kthread_main(void *arg)
{
	struct kthread *k = arg;

	k->fn(k->arg);
	thread_exit();
}

static void
kthread_reap(struct thread *t)
{
	kstack_free(t->stack);
	kfree(t);
}

static const struct thread_ops kthread_ops = {.reap = kthread_reap};

/* Of the first core of a mask; this one if it is empty. */
static unsigned
cluster_of(u64 cores)
{
	return cores != 0 ? machine()->core[__builtin_ctzl(cores)]->arch.cxy
			  : this_core()->arch.cxy;
}

struct thread *
kthread_create(const char *name, void (*fn)(void *), void *arg, u64 affinity)
{
	unsigned home = cluster_of(affinity);
	struct kthread *k = kzalloc_on(home, sizeof(*k));
	void *stack = kstack_alloc(home);

	if (k == NULL || stack == NULL)
		goto fail;
	thread_init(&k->thread, name, stack, kthread_main, k, &kthread_ops);
	k->fn = fn;
	k->arg = arg;
	k->thread.flags |= TF_KTHREAD;
	k->thread.home = (u16)home;
	if (affinity != 0)
		k->thread.affinity = affinity;
	thread_start(&k->thread);
	return &k->thread;
fail:
	if (stack != NULL)
		kstack_free(stack);
	kfree(k);
	return NULL;
}

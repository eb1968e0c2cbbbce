/*
 * Page frames: a buddy allocator per cluster with a cache of single frames per core.
 *
 * struct page_allocator lives in its cluster's boot memory for ever. A single frame is taken from
 * and given to the calling core's cache, with interrupts off and no lock; the cache is filled and
 * emptied in batches under the cluster's lock (rank RANK_FRAME). Larger blocks and frames of other
 * clusters take the lock each time. When a cluster is short, the nearest one helps out.
 *
 * A reserve in each cluster is left to callers with FRAME_RESERVE (the kernel's own small needs),
 * so that a program that eats all memory fails before the kernel does. Near the reserve the caches
 * are bypassed, so that no core sits on free frames while another finds none.
 *
 * Entry points: frame_alloc, frame_alloc_on, frame_free, frame_put, page_alloc, memory_info. It
 * does not reclaim: who can wait for that asks mm/reclaim.c and comes again.
 */
#include <asm/errno.h>

#include "cluster/bootmem.h"
#include "cluster/cluster.h"
#include "core/panic.h"
#include "lib/assert.h"
#include "lib/string.h"
#include "mm/buddy.h"
#include "mm/frame.h"
#include "mm/kmap.h"

#define CACHE_SIZE	32
#define CACHE_BATCH	16
#define RESERVE_MIN	64u /* pages */
#define COLLECT_BATCH	512
#define RESERVE_MAX	1024u /* pages */
#define RESERVE_SHARE	128u  /* of a cluster's pages */
#define BLOCK_FRAMES	(1UL << FRAME_MAX_ORDER)
#define FRAMES_PER_PAGE (PAGE_SIZE / sizeof(struct frame))

struct frame_cache {
	u32 n;				 /* [c] */
	struct frame *frame[CACHE_SIZE]; /* [c] */
};

struct page_allocator {
	struct spinlock lock;		      /* rank RANK_FRAME */
	struct buddy buddy;		      /* [lock] */
	u64 total;			      /* [I] pages of RAM */
	u64 given;			      /* [lock] pages that were ever free */
	u64 reserve;			      /* [I] pages */
	u32 nranges;			      /* [I] */
	struct boot_range range[BOOT_RANGES]; /* [I] */
	s64 use[FRAME_USES];		      /* [a] pages */
	struct frame_cache cache[MAX_CORES];  /* [c] by lid */
	struct frame *returned;		      /* [a] freed by others, by link.next; see collect() */
	struct frame *collected;	      /* [lock] the same, taken from there */
	u64 nreturned;			      /* [a] frames on the two */
};

static u64
cluster_free_pages(const struct page_allocator *p)
{
	return atomic_load_relaxed(&p->buddy.nfree) + atomic_load_relaxed(&p->nreturned);
}

static bool
is_scarce(const struct page_allocator *p)
{
	return cluster_free_pages(p) < 2 * p->reserve;
}

static struct frame *
next_returned(const struct frame *f)
{
	return (struct frame *)f->link.next;
}

/* Leaves a frame to its home: one word of another cluster is changed, and not its allocator. */
static void
give_back(struct page_allocator *p, struct frame *f)
{
	struct frame *head;

	irq_push_off(); /* the walk over all memory finds it on the list or not yet freed */
	atomic_add_relaxed(&p->nreturned, 1);
	do {
		head = atomic_load_relaxed(&p->returned);
		f->link.next = (struct list *)head;
	} while (!atomic_cas(&p->returned, head, f));
	irq_pop_off();
}

/* Puts up to n frames that other clusters gave back into the buddy system. => p->lock held.
 * Returns whether there were any. */
static bool
collect(struct page_allocator *p, u64 n)
{
	u64 done = 0;

	while (done < n) {
		struct frame *f = p->collected;

		if (f == NULL && atomic_load_relaxed(&p->returned) != NULL)
			f = atomic_xchg(&p->returned, NULL);
		if (f == NULL)
			break;
		p->collected = next_returned(f);
		buddy_free(&p->buddy, f, 0);
		done++;
	}
	if (done > 0)
		atomic_add_relaxed(&p->nreturned, -done);
	return done > 0;
}

/* Takes a block from one cluster, leaving the reserve to those who may have it. */
static struct frame *
take_block(struct page_allocator *p, unsigned order, unsigned how)
{
	u64 keep = how & FRAME_RESERVE ? 0 : p->reserve;
	struct frame *f = NULL;

	spin_lock(&p->lock);
	collect(p, CACHE_BATCH);
	do
		if (p->buddy.nfree >= keep + (1UL << order))
			f = buddy_alloc(&p->buddy, order);
	while (f == NULL && collect(p, COLLECT_BATCH));
	spin_unlock(&p->lock);
	return f;
}

/* Fills the cache by a batch, or by the one frame that is wanted when frames are scarce. */
static void
fill_cache(struct page_allocator *p, struct frame_cache *c, unsigned how)
{
	u64 keep = how & FRAME_RESERVE ? 0 : p->reserve;
	unsigned want = is_scarce(p) ? 1 : CACHE_BATCH;

	spin_lock(&p->lock);
	collect(p, CACHE_BATCH);
	while (c->n < want && (p->buddy.nfree > keep || collect(p, CACHE_BATCH)))
		if (p->buddy.nfree > keep)
			c->frame[c->n++] = buddy_alloc(&p->buddy, 0);
	spin_unlock(&p->lock);
}

static struct frame *
take_cached(struct page_allocator *p, unsigned how)
{
	struct frame_cache *c;
	struct frame *f = NULL;

	irq_push_off();
	c = &p->cache[this_core()->arch.lid];
	if (c->n == 0)
		fill_cache(p, c, how);
	if (c->n > 0)
		f = c->frame[--c->n];
	irq_pop_off();
	return f;
}

static struct frame *
take_from(struct cluster *c, unsigned order, unsigned how)
{
	if (c->pages == NULL)
		return NULL;
	if (order == 0 && c == this_cluster())
		return take_cached(c->pages, how);
	return take_block(c->pages, order, how);
}

/* From the other clusters, nearest first. */
static struct frame *
take_remote(unsigned home, unsigned order, unsigned how)
{
	struct machine *m = machine();
	u64 tried = 1UL << home;

	for (unsigned left = m->nclusters; left > 1; left--) {
		unsigned best = MAX_CLUSTERS;
		struct frame *f;

		for (unsigned i = 0; i < m->nclusters; i++)
			if (!(tried >> i & 1) && (best == MAX_CLUSTERS ||
						  m->distance[home][i] < m->distance[home][best]))
				best = i;
		assert(best < MAX_CLUSTERS); /* one was left */
		tried |= 1UL << best;
		f = m->cluster[best] ? take_from(m->cluster[best], order, how) : NULL;
		if (f != NULL)
			return f;
	}
	return NULL;
}

struct frame *
frame_alloc_on(unsigned cxy, unsigned order, unsigned how)
{
	struct cluster *c;
	struct frame *f;

	if ((how & FRAME_KERNEL) && machine()->one_copy)
		cxy = boot_info.boot_cxy;
	c = machine()->cluster[cxy];
	f = take_from(c, order, how);

	if (f != NULL) {
		atomic_add_relaxed(&c->allocs_local, 1);
	} else if (!(how & FRAME_LOCAL)) {
		f = take_remote(cxy, order, how);
		if (f != NULL) {
			atomic_add_relaxed(&c->allocs_remote, 1);
			atomic_add_relaxed(&machine()->cluster[f->cxy]->allocs_helped, 1);
		}
	}
	if (f == NULL)
		return NULL;
	assert(atomic_load_relaxed(&f->refs.value) == 0);
	refcount_init(&f->refs, 1);
	f->flags = how & FRAME_KERNEL ? FF_KERNEL : 0;
	f->order = order;
	f->private = 0;
	kasan_unpoison(frame_virt(f), PAGE_SIZE << order);
	if (how & FRAME_ZERO)
		pages_zero(frame_virt(f), 1UL << order);
	return f;
}

struct frame *
frame_alloc(unsigned order, unsigned how)
{
	return frame_alloc_on(this_core()->arch.cxy, order, how);
}

static void
give_block(struct page_allocator *p, struct frame *f, unsigned order)
{
	spin_lock(&p->lock);
	buddy_free(&p->buddy, f, order);
	spin_unlock(&p->lock);
}

/* Makes room in a full cache, oldest frames first. */
static void
drain_cache(struct page_allocator *p, struct frame_cache *c)
{
	spin_lock(&p->lock);
	for (unsigned i = 0; i < CACHE_BATCH; i++)
		buddy_free(&p->buddy, c->frame[i], 0);
	spin_unlock(&p->lock);
	c->n -= CACHE_BATCH;
	memmove(c->frame, c->frame + CACHE_BATCH, c->n * sizeof(c->frame[0]));
}

static void
give_cached(struct page_allocator *p, struct frame *f)
{
	struct frame_cache *c;

	irq_push_off();
	c = &p->cache[this_core()->arch.lid];
	if (c->n == CACHE_SIZE)
		drain_cache(p, c);
	c->frame[c->n++] = f;
	irq_pop_off();
}

void
frame_free(struct frame *f, unsigned order)
{
	struct cluster *home = machine()->cluster[f->cxy];

	assert(!(f->flags & (FF_FREE | FF_RESERVED)) && f->order == order);
	if (f->flags & FF_ANON)
		frame_account(f, FRAME_USE_ANON, -1);
	if (f->flags & FF_CACHE)
		frame_account(f, FRAME_USE_CACHE, -1);
	if (f->flags & FF_CODE)
		pages_zero(frame_virt(f), 1UL << order);
	refcount_init(&f->refs, 0);
	f->flags = 0;
	kasan_poison(frame_virt(f), PAGE_SIZE << order);
	if (order == 0 && home != this_cluster())
		give_back(home->pages, f);
	else if (order == 0 && !is_scarce(home->pages))
		give_cached(home->pages, f);
	else
		give_block(home->pages, f, order);
}

void
frame_split(struct frame *f, unsigned order)
{
	for (u64 i = 0; i < 1UL << order; i++) {
		refcount_init(&f[i].refs, 1);
		f[i].flags = f->flags;
		f[i].order = 0;
		f[i].private = 0;
	}
}

void
frame_put(struct frame *f)
{
	if (refcount_put(&f->refs))
		frame_free(f, 0);
}

/* The barrier keeps the compiler from turning the loop back into a call of memset. */
void
page_zero(void *page)
{
	u64 *p = page;

	for (unsigned i = 0; i < PAGE_SIZE / sizeof(u64); i += 8, p += 8) {
		p[0] = 0;
		p[1] = 0;
		p[2] = 0;
		p[3] = 0;
		p[4] = 0;
		p[5] = 0;
		p[6] = 0;
		p[7] = 0;
		__asm__ volatile("" : "+r"(p));
	}
}

void
pages_zero(void *first, u64 count)
{
	for (u64 i = 0; i < count; i++)
		page_zero((char *)first + i * PAGE_SIZE);
}

void
page_copy(void *to, const void *from)
{
	u64 *d = to;
	const u64 *s = from;

	for (unsigned i = 0; i < PAGE_SIZE / sizeof(u64); i += 16, d += 16, s += 16) {
#pragma GCC unroll 4
		for (unsigned k = 0; k < 16; k += 4) {
			u64 a = s[k], b = s[k + 1], c = s[k + 2], e = s[k + 3];

			d[k] = a;
			d[k + 1] = b;
			d[k + 2] = c;
			d[k + 3] = e;
		}
		__asm__ volatile("" : "+r"(d));
	}
}

void *
page_alloc(void)
{
	struct frame *f = frame_alloc(0, FRAME_ZERO | FRAME_RESERVE | FRAME_KERNEL);

	return f == NULL ? NULL : frame_virt(f);
}

void
page_free(void *page)
{
	frame_put(frame_of_virt(page));
}

void
frame_account(const struct frame *f, enum frame_use use, s64 pages)
{
	atomic_add_relaxed(&machine()->cluster[f->cxy]->pages->use[use], pages);
}

bool
frame_is_short(unsigned cxy)
{
	return is_scarce(machine()->cluster[cxy]->pages);
}

bool
frame_exists(paddr_t at)
{
	for (unsigned i = 0; i < machine()->nclusters; i++) {
		const struct page_allocator *p = machine()->cluster[i]->pages;

		for (unsigned j = 0; j < p->nranges; j++)
			if (at >= p->range[j].base && at - p->range[j].base < p->range[j].size)
				return true;
	}
	return false;
}

u64
frame_free_pages(void)
{
	u64 sum = 0;

	for (unsigned i = 0; i < machine()->nclusters; i++)
		sum += cluster_free_pages(machine()->cluster[i]->pages);
	return sum;
}

u64
frame_total_pages(void)
{
	u64 sum = 0;

	for (unsigned i = 0; i < machine()->nclusters; i++)
		sum += machine()->cluster[i]->pages->given;
	return sum;
}

u64
frame_walk_free(unsigned cxy, void (*cached)(const struct frame *f, void *arg), void *arg)
{
	const struct page_allocator *p = machine()->cluster[cxy]->pages;
	u64 n = cluster_free_pages(p);

	for (const struct frame *f = p->returned; f != NULL; f = next_returned(f))
		cached(f, arg);
	for (const struct frame *f = p->collected; f != NULL; f = next_returned(f))
		cached(f, arg);
	for (unsigned i = 0; i < machine()->cluster[cxy]->cores_nr; i++) {
		for (unsigned k = 0; k < p->cache[i].n; k++)
			cached(p->cache[i].frame[k], arg);
		n += p->cache[i].n;
	}
	return n;
}

unsigned
frame_range(unsigned cxy, unsigned i, u64 *first, u64 *end)
{
	const struct page_allocator *p = machine()->cluster[cxy]->pages;

	if (i < p->nranges) {
		*first = DIV_ROUND_UP(p->range[i].base, PAGE_SIZE);
		*end = (p->range[i].base + p->range[i].size) >> PAGE_SHIFT;
	}
	return p->nranges;
}

static u64
use_of(const struct page_allocator *p, enum frame_use use)
{
	s64 n = atomic_load_relaxed(&p->use[use]);

	return n < 0 ? 0 : n;
}

u64
frame_cached_pages(void)
{
	u64 sum = 0;

	for (unsigned i = 0; i < machine()->nclusters; i++)
		sum += use_of(machine()->cluster[i]->pages, FRAME_USE_CACHE);
	return sum;
}

void
memory_info_cluster(unsigned cxy, struct memory_info *out)
{
	const struct page_allocator *p = machine()->cluster[cxy]->pages;

	out->total = p->total;
	out->reserved = p->total - p->given;
	out->free = cluster_free_pages(p);
	for (unsigned i = 0; i < machine()->cluster[cxy]->cores_nr; i++)
		out->free += atomic_load_relaxed(&p->cache[i].n);
	out->slab = use_of(p, FRAME_USE_SLAB);
	out->kernel_stacks = use_of(p, FRAME_USE_KSTACK);
	out->page_tables = use_of(p, FRAME_USE_TABLE);
	out->anonymous = use_of(p, FRAME_USE_ANON);
	out->cached = use_of(p, FRAME_USE_CACHE);
}

void
memory_info(struct memory_info *out)
{
	struct memory_info one;

	memset(out, 0, sizeof(*out));
	for (unsigned i = 0; i < machine()->nclusters; i++) {
		memory_info_cluster(i, &one);
		out->total += one.total;
		out->reserved += one.reserved;
		out->free += one.free;
		out->slab += one.slab;
		out->kernel_stacks += one.kernel_stacks;
		out->page_tables += one.page_tables;
		out->anonymous += one.anonymous;
		out->cached += one.cached;
	}
}

static void *
bootmem_page(unsigned cxy)
{
	return bootmem_alloc(PAGE_SIZE, PAGE_SIZE);
}

/*
 * Maps the struct frames of [start, end), and of the largest blocks around its ends: the buddy
 * allocator looks at a block's neighbour before it knows whether that is memory at all.
 */
static void
map_frames(paddr_t start, paddr_t end)
{
	u64 first = ALIGN_DOWN(start >> PAGE_SHIFT, BLOCK_FRAMES);
	u64 last = ALIGN_UP(DIV_ROUND_UP(end, PAGE_SIZE), BLOCK_FRAMES);
	vaddr_t to = (vaddr_t)((struct frame *)FRAMES_BASE + last);
	void *page = NULL;

	for (vaddr_t va = (vaddr_t)((struct frame *)FRAMES_BASE + first); va < to;
	     va += PAGE_SIZE) {
		int err;

		if (page == NULL)
			page = bootmem_page(this_cluster()->cxy);
		err = page == NULL ? -ENOMEM
				   : kmap_page(va, virt_to_phys(page), KMAP_MEMORY, bootmem_page);
		if (err == -ENOMEM)
			panic("no memory for the frame array");
		if (err == 0)
			page = NULL;
	}
}

/* Claims the frames of a range of RAM, as not free. */
static void
claim_range(struct page_allocator *p, paddr_t start, paddr_t end)
{
	for (paddr_t at = ALIGN_UP(start, PAGE_SIZE); at + PAGE_SIZE <= end; at += PAGE_SIZE) {
		struct frame *f = frame_of_paddr(at);

		f->cxy = p->buddy.cxy;
		compiler_barrier(); /* before any flag: see buddy_free() of the neighbour cluster */
		f->flags = FF_RESERVED;
		refcount_init(&f->refs, 1);
		p->total++;
	}
}

void
frame_release_range(paddr_t start, u64 size)
{
	u64 first = DIV_ROUND_UP(start, PAGE_SIZE), last = (start + size) >> PAGE_SHIFT;
	struct page_allocator *p;

	if (first == 0)
		first = 1; /* a physical address of 0 means "none" in several places */
	if (first >= last)
		return;
	p = machine()->cluster[frame_of_paddr(first << PAGE_SHIFT)->cxy]->pages;
	for (u64 i = first; i < last; i++) {
		struct frame *f = frame_of_paddr(i << PAGE_SHIFT);

		assert(f->flags == FF_RESERVED && f->cxy == p->buddy.cxy);
		f->flags = 0;
		f->order = 0;
		refcount_init(&f->refs, 0);
	}
	spin_lock(&p->lock);
	buddy_add(&p->buddy, first, last - first);
	p->given += last - first;
	spin_unlock(&p->lock);
}

/* The end of the reserved stretch that covers `at`, or `at` itself. */
static paddr_t
skip_reserved(paddr_t at)
{
	for (u32 i = 0; i < boot_info.rsvd_nr; i++) {
		paddr_t start = ALIGN_DOWN(boot_info.rsvd[i].base, PAGE_SIZE);
		paddr_t end = ALIGN_UP(boot_info.rsvd[i].base + boot_info.rsvd[i].size, PAGE_SIZE);

		if (at >= start && at < end) {
			at = end;
			i = -1; /* the next one may begin there */
		}
	}
	return at;
}

/* The next reserved stretch behind `at`, at most `end`. */
static paddr_t
next_reserved(paddr_t at, paddr_t end)
{
	for (u32 i = 0; i < boot_info.rsvd_nr; i++) {
		paddr_t start = ALIGN_DOWN(boot_info.rsvd[i].base, PAGE_SIZE);

		if (boot_info.rsvd[i].size > 0 && start > at && start < end)
			end = start;
	}
	return end;
}

static void
release_free_parts(paddr_t start, paddr_t end)
{
	paddr_t at = skip_reserved(ALIGN_UP(start, PAGE_SIZE));

	while (at < end) {
		paddr_t stop = next_reserved(at, end);

		frame_release_range(at, stop - at);
		at = skip_reserved(stop);
	}
}

void
frame_init_cluster(void)
{
	struct page_allocator *p = bootmem_alloc(sizeof(*p), 64);
	u64 reserve;

	if (p == NULL)
		panic("no memory for the page allocator");
	spin_init(&p->lock, "frames", RANK_FRAME);
	buddy_init(&p->buddy, (struct frame *)FRAMES_BASE, this_cluster()->cxy);
	for (u32 i = 0; i < boot_info.range_nr; i++)
		map_frames(boot_info.range[i].base,
			   boot_info.range[i].base + boot_info.range[i].size);
	bootmem_close();
	for (u32 i = 0; i < boot_info.range_nr; i++)
		claim_range(p, boot_info.range[i].base,
			    boot_info.range[i].base + boot_info.range[i].size);
	p->nranges = boot_info.range_nr;
	memcpy(p->range, boot_info.range, sizeof(p->range));
	reserve = p->total / RESERVE_SHARE;
	p->reserve = reserve < RESERVE_MIN ? RESERVE_MIN : min(reserve, (u64)RESERVE_MAX);
	this_cluster()->pages = p;
	for (u32 i = 0; i < boot_info.range_nr; i++)
		release_free_parts(boot_info.range[i].base,
				   boot_info.range[i].base + boot_info.range[i].size);
}

/*
 * The invariant walk: while every other core stands still, each frame of the machine is looked at,
 * and each page table, VM object and free list that could name it.
 *
 *   - a page table that a core of cluster c can reach lies in c; CR3 of each core is such a root
 *   - so do the kernel's text and static data and the roots; text and roots are the same everywhere
 *   - a free frame is in its home cluster's allocator, once, and nobody names it
 *   - a frame of an object is named by no more slots than it has references
 *   - a table is named by one entry; what a translation shows is neither free nor a table
 *
 * Frames that are allocated and named by nobody are "in flight": a thread was stopped between
 * taking one and putting it somewhere. When nothing else runs there should be none, else they are
 * lost.
 *
 * Each frame has a word of counts in pages allocated for the walk. Locks: none, while
 * the machine stands.
 */
#include <asm/errno.h>
#include <stdarg.h>

#include "arch/clock.h"
#include "cluster/boot_info.h"
#include "cluster/cluster.h"
#include "lib/assert.h"
#include "lib/checksum.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/check_impl.h"
#include "mm/home.h"

#define WORDS_PER_PAGE (PAGE_SIZE / sizeof(u16))
#define SEEN_CACHED    0x8000u

void
check_broken(struct check *k, const char *fmt, ...)
{
	va_list ap;

	if (k->broken++ >= CHECK_LINES)
		return;
	va_start(ap, fmt);
	format_v(k->line[k->broken - 1], sizeof(k->line[0]), fmt, ap);
	va_end(ap);
}

/* The word of a frame; NULL: not a frame of this machine. */
static u16 *
word_of(struct check *k, const struct frame *f)
{
	u64 number = frame_paddr(f) >> PAGE_SHIFT;

	for (unsigned i = 0; i < k->nranges; i++) {
		u64 at = number - k->range[i].first;

		if (number < k->range[i].first || number >= k->range[i].end)
			continue;
		at += k->range[i].base;
		return &k->words[at / WORDS_PER_PAGE][at % WORDS_PER_PAGE];
	}
	return NULL;
}

u16 *
check_seen(struct check *k, const struct frame *f)
{
	u16 *w = word_of(k, f);

	if (w == NULL)
		check_broken(k, "frame %lx is no memory of this machine", frame_paddr(f));
	else if ((*w & ~SEEN_CACHED) < ~SEEN_CACHED)
		(*w)++;
	return w;
}

static void
cached_frame(const struct frame *f, void *arg)
{
	struct check *k = arg;
	u16 *w = word_of(k, f);

	if (w == NULL || *w != 0 || atomic_load_relaxed(&f->refs.value) != 0)
		check_broken(k, "frame %lx in a core's cache is not free", frame_paddr(f));
	if (w != NULL)
		*w |= SEEN_CACHED;
}

/* --- frames --- */

/* It was a page at the cut whose epoch is being written, and no object's any more. */
static bool
held_by_cut(const struct frame *f)
{
	return persisting() && homes()->in_flight && (f->flags & FF_FLIGHT);
}

/* A frame that is allocated, when all that could name it has been walked. */
static void
allocated_frame(struct check *k, const struct frame *f, unsigned seen)
{
	u32 refs = atomic_load_relaxed(&f->refs.value);

	if (f->flags & FF_TABLE) {
		k->tables++;
		if (seen > 1)
			check_broken(k, "table %lx is named %u times", frame_paddr(f), seen);
	} else if (f->flags & (FF_SLAB | FF_KERNEL)) {
		k->kernel += 1u << f->order;
		if (seen)
			check_broken(k, "kernel memory %lx is in an object", frame_paddr(f));
		return;
	} else if (f->flags & (FF_ANON | FF_CACHE)) {
		k->objects++;
		if (seen > refs)
			check_broken(k, "frame %lx of %u objects has %u references", frame_paddr(f),
				     seen, refs);
	}
	if (seen == 0 && !held_by_cut(f))
		k->in_flight += 1u << f->order;
}

/* Looks at the frame, or block of frames, of page number n; returns the number behind it. */
static u64
check_frame(struct check *k, unsigned cxy, u64 n)
{
	const struct frame *f = frame_of_paddr(n << PAGE_SHIFT);
	u16 seen = *word_of(k, f);

	if (f->cxy != cxy)
		check_broken(k, "frame %lx of cluster %u says %u", frame_paddr(f), cxy, f->cxy);
	if (f->flags & FF_RESERVED) {
		k->reserved++;
		return n + 1;
	}
	if (f->flags & FF_FREE) {
		k->free += 1UL << f->order;
		if (seen)
			check_broken(k, "free frame %lx is in use", frame_paddr(f));
		return n + (1UL << f->order);
	}
	if (atomic_load_relaxed(&f->refs.value) == 0) {
		k->free++;
		if (seen != SEEN_CACHED)
			check_broken(k, "frame %lx is %s", frame_paddr(f),
				     seen ? "used without a reference" : "lost");
		return n + 1;
	}
	allocated_frame(k, f, seen);
	return n + (1UL << f->order);
}

static void
check_frames(struct check *k)
{
	for (unsigned i = 0; i < k->nranges; i++) {
		u64 n = k->range[i].first;

		while (n < k->range[i].end)
			n = check_frame(k, k->range[i].cxy, n);
	}
}

/* --- objects --- */

static void
check_replica(unsigned cxy, struct frame *f, void *arg)
{
	struct check *k = arg;

	check_seen(k, f);
	k->replicas++;
	if (f->cxy != cxy || atomic_load_relaxed(&f->refs.value) != 1)
		check_broken(k, "copy %lx for cluster %u lies in %u", frame_paddr(f), cxy, f->cxy);
}

static void
check_object(struct registered *r, void *arg)
{
	struct check *k = arg;
	const struct vm_object *o = container_of(r, struct vm_object, registered);
	u64 index = 0, n = 0;
	const struct frame *f;

	k->nobjects++;
	for (; (f = radix_next(&o->pages, &index)) != NULL; index++, n++) {
		if (f->flags & (FF_RESERVED | FF_IMAGE))
			continue;
		check_seen(k, f);
		if (!(f->flags & (FF_ANON | FF_CACHE)))
			check_broken(k, "frame %lx of an object has flags %x", frame_paddr(f),
				     f->flags);
	}
	replicas_walk(o, check_replica, k);
	if (n != o->pages.count || n != o->resident)
		check_broken(k, "object with %lu frames counts %lu and %lu", n, o->pages.count,
			     o->resident);
}

/* --- the kernel's own text and data --- */

static void
check_kernel_image(struct check *k, unsigned cxy)
{
	const struct cluster *c = machine()->cluster[cxy];
	const struct boot_cluster *b = &boot_info.cluster[cxy];
	const struct boot_info *info = phys_to_virt(b->kdata_paddr);
	const struct machine *m = c->core[0]->machine;

	if (frame_of_paddr(info->kcode_paddr)->cxy != cxy ||
	    frame_of_paddr(info->krodata_paddr)->cxy != cxy ||
	    frame_of_paddr(info->kdata_paddr)->cxy != cxy)
		check_broken(k, "cluster %u: its kernel lies elsewhere", cxy);
	if (info->cxy != cxy || c->cxy != cxy)
		check_broken(k, "cluster %u: its kernel thinks it is %u", cxy, info->cxy);
	if (checksum32(phys_to_virt(info->kcode_paddr), info->kcode_size) != info->kcode_crc)
		check_broken(k, "cluster %u: kcode has changed", cxy);
	if (frame_of_virt(m)->cxy != cxy ||
	    checksum32(m, sizeof(*m)) != checksum32((void *)info->machine, sizeof(*m)))
		check_broken(k, "cluster %u: its copy of the roots is far or old", cxy);
}

/* --- the spine --- */

static void
walk(struct check *k)
{
	registry_walk(REGISTRY_OBJECTS, check_object, k);
	check_tables(k);
	for (unsigned i = 0; i < machine()->nclusters; i++) {
		check_kernel_image(k, i);
		k->free_listed += frame_walk_free(i, cached_frame, k);
	}
	check_frames(k);
	if (k->free != k->free_listed)
		check_broken(k, "%lu frames are free, the allocators count %lu", k->free,
			     k->free_listed);
}

static void
free_words(struct check *k)
{
	for (u64 i = 0; i < k->nwords; i++)
		page_free(k->words[i]);
	kfree(k->words);
}

static int
alloc_words(struct check *k)
{
	u64 frames = 0, first, end;

	for (unsigned c = 0; c < machine()->nclusters; c++)
		for (unsigned i = 0; i < frame_range(c, i, &first, &end); i++) {
			if (k->nranges == ARRAY_SIZE(k->range))
				return -ENOMEM;
			k->range[k->nranges++] = (struct check_range){c, first, end, frames};
			frames += end - first;
		}
	k->words = kcalloc(DIV_ROUND_UP(frames, WORDS_PER_PAGE), sizeof(*k->words));
	if (k->words == NULL)
		return -ENOMEM;
	for (; k->nwords < DIV_ROUND_UP(frames, WORDS_PER_PAGE); k->nwords++) {
		k->words[k->nwords] = page_alloc();
		if (k->words[k->nwords] == NULL)
			return -ENOMEM;
	}
	return 0;
}

static void
say(struct check *k, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = format_v(k->len < k->size ? k->buf + k->len : NULL,
		     k->len < k->size ? k->size - k->len : 0, fmt, ap);
	va_end(ap);
	k->len += n > 0 ? n : 0;
}

static void
report(struct check *k, ns_t took)
{
	say(k, "stood_us %lu\nfree %lu\nreserved %lu\nkernel %lu\ntables %lu\n", took / NS_PER_US,
	    k->free, k->reserved, k->kernel, k->tables);
	say(k, "object_frames %lu\nobjects %lu\nroots %lu\nkernel_tables %lu\nuser_tables %lu\n",
	    k->objects, k->nobjects, k->roots, k->kernel_tables, k->user_tables);
	say(k, "replicas %lu\ntranslations %lu\ntables_elsewhere %lu\nin_flight %lu\n", k->replicas,
	    k->leaves, k->tables_elsewhere, k->in_flight);
	for (unsigned i = 0; i < min(k->broken, (u64)CHECK_LINES); i++)
		say(k, "broken: %s\n", k->line[i]);
	say(k, "broken %lu\n", k->broken);
}

ssize_t
memory_check(char *buf, size_t size)
{
	struct check *k = kzalloc(sizeof(*k));
	ssize_t result = -ENOMEM;
	ns_t began;

	if (k == NULL)
		return -ENOMEM;
	k->buf = buf;
	k->size = size;
	if (alloc_words(k) == 0) {
		began = clock_now();
		machine_stop();
		walk(k);
		machine_go();
		report(k, clock_now() - began);
		result = k->len;
	}
	free_words(k);
	kfree(k);
	return result;
}

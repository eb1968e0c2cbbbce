/*
 * Kernel objects: size classes in slabs, per cluster, with a magazine of free objects per core.
 *
 * A slab is a block of frames cut into objects of one class. Its state is packed into `private` of
 * its first frame: how many objects are in use, the first free one (free objects link to each other
 * by index in their first two bytes), how many were ever handed out (behind that the slab is
 * untouched), and the cluster whose cache it is in: one that is short of frames makes slabs of its
 * neighbours'. Slabs with room are on their class's list; a full one is on none; of the empty ones
 * a class keeps one. Sizes above the largest class are blocks of frames, marked by their order.
 *
 * Locks: each class has one (rank RANK_SLAB), taken before the frames'. Magazines belong to their
 * core and are used with interrupts off. An object of another cluster goes back to its own at once.
 *
 * Entry points: kmalloc and its family, kfree. Objects of the classes from 192 bytes on are aligned
 * to 64 bytes, those of a power of two to their size.
 */
#include "cluster/cluster.h"
#include "lib/assert.h"
#include "lib/atomic.h"
#include "lib/string.h"
#include "mm/frame.h"
#include "mm/registry.h"
#include "mm/replica.h"
#include "mm/slab.h"

#define MAGAZINE       16
#define MAGAZINE_BATCH 8
#define CLASS_LARGEST  8192
#define NO_OBJECT      0xffff

struct slab_class {
	u16 size;
	u8 order; /* of its slabs */
};

static const struct slab_class classes[] = {
	{16, 0},   {32, 0},   {48, 0},	 {64, 0},   {96, 0},   {128, 0},
	{192, 0},  {256, 0},  {384, 0},	 {512, 0},  {768, 0},  {1024, 0},
	{1536, 1}, {2048, 1}, {3072, 2}, {4096, 2}, {6144, 3}, {8192, 3},
};

#define CLASSES ARRAY_SIZE(classes)

struct magazine {
	u32 n;			/* [c] */
	void *object[MAGAZINE]; /* [c] */
};

struct slab_cache {
	struct spinlock lock; /* rank RANK_SLAB */
	struct list partial;  /* [lock] slabs with free objects, by frame.link */
	struct frame *spare;  /* [lock] one empty slab, not on the list */
};

struct slab_caches {
	struct slab_cache cache[CLASSES];
	struct magazine (*magazines)[CLASSES]; /* [I] by lid */
};

/* A slab's state, in frame.private. */
union slab_state {
	u64 word;
	struct {
		u16 free;  /* index of the first free object, or NO_OBJECT */
		u16 used;  /* objects out */
		u16 fresh; /* objects ever handed out */
		u8 class;
		u8 home; /* cluster whose cache it belongs to: its frames may be another's */
	};
};

_Static_assert(MAX_CLUSTERS <= 256, "slab_state.home");

static unsigned
class_objects(unsigned class)
{
	return (PAGE_SIZE << classes[class].order) / classes[class].size;
}

/* The class for a size up to CLASS_LARGEST: two per power of two from 32 on. */
static unsigned
class_of_size(size_t size)
{
	unsigned log, class;

	if (size <= 16)
		return 0;
	log = 63 - __builtin_clzl(size - 1); /* 2^log < size <= 2^(log+1) */
	if (log < 5)
		return 1;
	class = 2 * (log - 5) + 3; /* of 2^(log+1) */
	return size <= classes[class - 1].size ? class - 1 : class;
}

static struct frame *
slab_of(const void *p)
{
	struct frame *f = frame_of_virt(p);

	assert(f->flags & FF_SLAB);
	return frame_of_paddr(ALIGN_DOWN(frame_paddr(f), PAGE_SIZE << f->order));
}

static struct frame *
slab_make(unsigned class, unsigned cxy)
{
	unsigned order = classes[class].order;
	union slab_state s = {.free = NO_OBJECT, .class = class, .home = cxy};
	struct frame *f = frame_alloc_on(cxy, order, FRAME_RESERVE | FRAME_KERNEL);

	if (f == NULL)
		return NULL;
	for (unsigned i = 0; i < 1u << order; i++) {
		f[i].flags = FF_SLAB;
		f[i].order = order;
	}
	f->private = s.word;
	kasan_poison(frame_virt(f), PAGE_SIZE << order);
	list_init(&f->link);
	frame_account(f, FRAME_USE_SLAB, 1 << order);
	return f;
}

static void
slab_destroy(struct frame *f)
{
	unsigned order = f->order;

	frame_account(f, FRAME_USE_SLAB, -(1 << order));
	for (unsigned i = 0; i < 1u << order; i++)
		f[i].flags = 0;
	frame_free(f, order);
}

/* => the cache's lock is held; the slab has room */
static void *
slab_take(struct frame *f)
{
	union slab_state s = {.word = f->private};
	unsigned size = classes[s.class].size, index = s.free;
	u16 *object;

	if (index != NO_OBJECT) {
		object = frame_virt(f) + (size_t)index * size;
		s.free = *object;
	} else {
		index = s.fresh++;
		object = frame_virt(f) + (size_t)index * size;
	}
	s.used++;
	if (s.free == NO_OBJECT && s.fresh == class_objects(s.class))
		list_del(&f->link);
	f->private = s.word;
	return object;
}

/* => the cache's lock is held. Returns a slab that the caller has to destroy, or NULL. */
static struct frame *
slab_give(struct slab_cache *c, void *p)
{
	struct frame *f = slab_of(p);
	union slab_state s = {.word = f->private};
	bool was_full = s.free == NO_OBJECT && s.fresh == class_objects(s.class);
	size_t at = p - frame_virt(f);

	assert(s.used > 0 && at % classes[s.class].size == 0);
	*(u16 *)p = s.free;
	s.free = at / classes[s.class].size;
	s.used--;
	f->private = s.word;
	if (was_full)
		list_add(&c->partial, &f->link);
	if (s.used > 0)
		return NULL;
	list_del(&f->link);
	if (c->spare != NULL)
		return f;
	c->spare = f;
	return NULL;
}

/* A slab with room at the head of the list; NULL: no memory. => the cache's lock is held */
static struct frame *
cache_slab(struct slab_cache *c, unsigned class, unsigned cxy)
{
	struct frame *f = c->spare;

	if (!list_empty(&c->partial))
		return list_first(&c->partial, struct frame, link);
	if (f != NULL)
		c->spare = NULL;
	else
		f = slab_make(class, cxy);
	if (f != NULL)
		list_add(&c->partial, &f->link);
	return f;
}

static void
magazine_fill(struct slab_cache *c, struct magazine *m, unsigned class)
{
	spin_lock(&c->lock);
	while (m->n < MAGAZINE_BATCH) {
		struct frame *f = cache_slab(c, class, this_cluster()->cxy);

		if (f == NULL)
			break;
		m->object[m->n++] = slab_take(f);
		if (classes[class].size >= 1024)
			break; /* large ones are rare: do not hoard them */
	}
	spin_unlock(&c->lock);
}

static void
cache_give(struct slab_cache *c, void **object, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct frame *empty;

		spin_lock(&c->lock);
		empty = slab_give(c, object[i]);
		spin_unlock(&c->lock);
		if (empty != NULL)
			slab_destroy(empty);
	}
}

static void *
large_alloc(size_t size)
{
	unsigned order = 0;
	struct frame *f;

	while (order <= FRAME_MAX_ORDER && PAGE_SIZE << order < size)
		order++;
	if (order > FRAME_MAX_ORDER)
		return NULL;
	f = frame_alloc(order, FRAME_RESERVE | FRAME_KERNEL);
	if (f == NULL)
		return NULL;
	frame_account(f, FRAME_USE_SLAB, 1L << order);
	return frame_virt(f);
}

void *
kmalloc(size_t size)
{
	unsigned class;
	struct slab_caches *s;
	struct magazine *m;
	void *p = NULL;

	if (size > CLASS_LARGEST)
		return large_alloc(size);
	class = class_of_size(size);
	irq_push_off();
	s = this_cluster()->slabs;
	m = &s->magazines[this_core()->arch.lid][class];
	if (m->n == 0)
		magazine_fill(&s->cache[class], m, class);
	if (m->n > 0)
		p = m->object[--m->n];
	irq_pop_off();
	if (p != NULL)
		kasan_unpoison(p, max(size, (size_t)1)); /* so that it can be freed */
	return p;
}

void
kfree(void *p)
{
	struct frame *f;
	struct slab_caches *s;
	union slab_state state;
	unsigned class, room;

	if (p == NULL)
		return;
	kasan_check_free(p);
	f = frame_of_virt(p);
	if (!(f->flags & FF_SLAB)) {
		frame_account(f, FRAME_USE_SLAB, -(1L << f->order));
		frame_free(f, f->order);
		return;
	}
	state.word = atomic_load_relaxed(&slab_of(p)->private);
	class = state.class;
	s = machine()->cluster[state.home]->slabs;
	kasan_poison(p, classes[class].size);
	if (s != this_cluster()->slabs) {
		cache_give(&s->cache[class], &p, 1);
		return;
	}
	irq_push_off();
	room = classes[class].size >= 1024 ? 2 : MAGAZINE;
	struct magazine *m = &s->magazines[this_core()->arch.lid][class];
	if (m->n >= room) {
		unsigned n = room / 2;

		m->n -= n;
		cache_give(&s->cache[class], &m->object[m->n], n);
	}
	m->object[m->n++] = p;
	irq_pop_off();
}

size_t
ksize(const void *p)
{
	const struct frame *f = frame_of_virt(p);

	if (!(f->flags & FF_SLAB))
		return PAGE_SIZE << f->order;
	return classes[((union slab_state){.word = slab_of(p)->private}).class].size;
}

void *
kzalloc(size_t size)
{
	void *p = kmalloc(size);

	if (p != NULL)
		memset(p, 0, size);
	return p;
}

void *
kzalloc_on(unsigned cxy, size_t size)
{
	unsigned class = size > CLASS_LARGEST ? 0 : class_of_size(size);
	struct slab_cache *c = &machine()->cluster[cxy]->slabs->cache[class];
	struct frame *f;
	void *p;

	if (size > CLASS_LARGEST || cxy == this_cluster()->cxy)
		return kzalloc(size);
	spin_lock(&c->lock);
	f = cache_slab(c, class, cxy);
	p = f != NULL ? slab_take(f) : NULL;
	spin_unlock(&c->lock);
	if (p != NULL) {
		kasan_unpoison(p, size);
		memset(p, 0, size);
	}
	return p;
}

void *
kcalloc(size_t n, size_t size)
{
	size_t total;

	if (__builtin_mul_overflow(n, size, &total))
		return NULL;
	return kzalloc(total);
}

void *
krealloc(void *p, size_t old_size, size_t size)
{
	void *grown;

	if (p != NULL && size <= ksize(p) && size >= ksize(p) / 2) {
		kasan_unpoison(p, size);
		return p;
	}
	grown = kmalloc(size);
	if (grown == NULL)
		return NULL;
	if (p != NULL)
		memcpy(grown, p, min(old_size, size));
	kfree(p);
	return grown;
}

char *
kstrdup(const char *s)
{
	size_t n = strlen(s) + 1;
	char *p = kmalloc(n);

	if (p != NULL)
		memcpy(p, s, n);
	return p;
}

/* The first memory that is not whole frames: caches from frames of their own. */
void
slab_init_cluster(void)
{
	size_t magazines = sizeof(struct magazine[CLASSES]) * this_cluster()->cores_nr;
	size_t size = ALIGN_UP(sizeof(struct slab_caches), 64) + magazines;
	struct slab_caches *s = large_alloc(max(size, (size_t)1));

	assert(s != NULL);
	memset(s, 0, size);
	s->magazines = (void *)s + ALIGN_UP(sizeof(*s), 64);
	for (unsigned i = 0; i < CLASSES; i++) {
		spin_init(&s->cache[i].lock, "slab", RANK_SLAB);
		list_init(&s->cache[i].partial);
	}
	this_cluster()->slabs = s;
	registry_init_cluster();
	replica_init_cluster();
}

/*
 * What a store should hold, beside the store itself: a table of small numbers, each of which gives
 * the bytes of one item; and a random workload that goes into both.
 */
#ifndef STORE_MODEL_H
#define STORE_MODEL_H

#include "store_disk.h"

#define M_OBJECTS 24
#define M_INDEXES 16
#define M_EPOCHS  16

struct model {
	u32 id[M_OBJECTS][M_INDEXES]; /* 0: nothing */
};

struct rng {
	u64 x;
};

static inline u64
rng_next(struct rng *r)
{
	u64 z = (r->x += 0x9e3779b97f4a7c15ull);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static inline u32
rng_below(struct rng *r, u32 n)
{
	return (u32)(rng_next(r) >> 32) % n;
}

/* Two in three items are small. */
static inline u32
content_length(u32 id)
{
	return id % 3 == 0 ? STORE_BLOCK : 1 + id * 2654435761u % 700;
}

static inline u32
content(u32 id, u8 *buf)
{
	u32 n = content_length(id), x = id * 747796405u + 1;

	for (u32 i = 0; i < n; i += 4) {
		x = x * 1664525u + 1013904223u;
		memcpy(buf + i, &x, n - i < 4 ? n - i : 4);
	}
	return n;
}

static inline u64
model_idx(unsigned i)
{
	return i < M_INDEXES / 4 ? i : STORE_PAGE(i);
}

/* Whether the store shows what the model says. With `doubt`, an item may be damaged, not different.
 */
static inline bool
model_same(const struct model *m, struct store *s, bool doubt)
{
	u8 want[STORE_BLOCK], got[STORE_BLOCK];
	struct store_item item;
	u64 items = 0, model_items = 0, at_oid = STORE_OID_USER, at_idx = 0;

	for (unsigned o = 0; o < M_OBJECTS; o++) {
		for (unsigned i = 0; i < M_INDEXES; i++) {
			u32 id = m->id[o][i], n, len = 0;
			int err = store_get(s, STORE_OID_USER + o, model_idx(i), got, &len);

			model_items += id != 0;
			if (doubt && err == -EBADMSG)
				continue;
			if (id == 0 && err == -ENOENT)
				continue;
			if (id == 0 || err)
				return false;
			n = content(id, want);
			if (n != len || memcmp(want, got, n) != 0)
				return false;
		}
	}
	while (!doubt && store_next(s, at_oid, at_idx, &item) == 0) {
		items++;
		at_oid = item.oid;
		at_idx = item.idx + 1;
	}
	return doubt || items == model_items;
}

/* One epoch's changes, into the model and the store; *page holds what the store reads at commit.
 * => returns the first error of the store */
struct pages {
	u8 *p[M_OBJECTS * M_INDEXES];
	unsigned n;
};

static inline int
model_change(struct model *m, struct store *s, struct rng *r, u32 *next_id, struct pages *pages)
{
	unsigned changes = rng_below(r, 8) ? 1 + rng_below(r, 30) : rng_below(r, 260);
	int err = 0;

	for (unsigned c = 0; c < changes && !err; c++) {
		unsigned o = rng_below(r, M_OBJECTS), i = rng_below(r, M_INDEXES);

		if (rng_below(r, 8) == 0) {
			unsigned from = rng_below(r, 2) ? 0 : i;

			for (unsigned x = from; x <= i; x++)
				m->id[o][x] = 0;
			err = store_delete(s, STORE_OID_USER + o, model_idx(from), model_idx(i));
			continue;
		}
		m->id[o][i] = ++*next_id;
		if (pages->n == M_OBJECTS * M_INDEXES)
			break;
		pages->p[pages->n] = malloc(STORE_BLOCK);
		u32 len = content(*next_id, pages->p[pages->n]);

		err = store_put(s, STORE_OID_USER + o, model_idx(i), pages->p[pages->n++], len);
	}
	return err;
}

static inline void
pages_free(struct pages *p)
{
	while (p->n)
		free(p->p[--p->n]);
}

#endif

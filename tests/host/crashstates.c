/*
 * Crash states of a disk, and what recovery makes of each (doc/store.md, "Tests").
 *
 *	crashstates [-n STATES] [-s SEED] [-o FILE] [-v]
 *
 * A random workload runs on a disk that remembers writes and flushes. For every point between two
 * of them, power is cut: what was flushed is there, and of what was not, nothing, all, some, or
 * sectors of it, old bytes or garbage in the rest. Recovery has to find the last epoch whose commit
 * had returned, or the one whose commit had begun, with all its contents and all counts right. Then
 * the workload goes on from one such state, or from an older epoch of it; so a disk lives through
 * thousands of cuts and goes round many times. Fails with the seed that shows the state again. FILE
 * gets the disk as the last cut left it.
 */
#include <getopt.h>
#include "store_model.h"

#define SECTOR	 512
#define DEPTH	 6 /* commits of a segment, at most */
#define NO_EPOCH UINT64_MAX

void assert_failed(const char *expr, const char *file, int line);

static u64 seed_now;

void
assert_failed(const char *expr, const char *file, int line)
{
	fprintf(stderr, "%s:%d: %s (seed %llu)\n", file, line, expr, (unsigned long long)seed_now);
	abort();
}

struct mark {		    /* a commit of the segment */
	size_t begun, done; /* by number of operations; done is past the end when it failed */
	u64 epoch;
};

struct world {
	struct tdisk d; /* as the running system sees it */
	u8 *stable;	/* up to the last flush before the cut */
	u8 saved[4096];
	struct rng r;
	u32 next_id;
	struct model past[M_EPOCHS];  /* by epoch */
	struct model tried[M_EPOCHS]; /* the same, of commits that did not return */
	u64 first;		      /* epoch of the segment's start */
	u64 young; /* the one found, where the segment starts from an older one; else 0 */
	struct model young_past[M_EPOCHS];
	bool was_young;
	struct mark mark[DEPTH + 1];
	unsigned marks;
	unsigned long states, segments, older, errors, epochs, both[2];
};

static void
fail(struct world *w, const char *what, long a, long b)
{
	fprintf(stderr, "FAIL: %s (%ld, %ld); seed %llu, state %lu, segment %lu\n", what, a, b,
		(unsigned long long)seed_now, w->states, w->segments);
	exit(1);
}

static void
say_fault(void *arg, const char *what, u64 a, u64 b)
{
	fprintf(stderr, what, (unsigned long long)a, (unsigned long long)b);
	fprintf(stderr, "\n");
}

/* A kernel of before takes a store that does not say so for one without sums of 64 bits. */
static bool
says_what_it_has(const struct world *w, struct store *s)
{
	struct store_item item;
	u64 oid = 0, idx = 0;

	if (tdisk_slots_of(&w->d, STORE_INCOMPAT_SUM64) > 0)
		return true;
	for (; store_next(s, oid, idx, &item) == 0; oid = item.oid, idx = item.idx + 1)
		if (item.sum == STORE_SUM_64)
			return false;
	return true;
}

/* Opens what the disk holds now. `young`: what the segment leaves behind may still be there.
 * => returns the epoch found */
static u64
examine(struct world *w, u64 low, u64 high, bool young)
{
	struct store_report rep = {.fault = say_fault};
	struct store_status st;
	struct store *s;
	const struct model *m;
	int err = store_open(&tdisk_ops, &w->d, w->d.blocks, &(struct store_how){.readonly = true},
			     &s);
	long faults;

	if (err)
		fail(w, "the store does not open", err, 0);
	store_status(s, &st);
	w->was_young = young && st.epoch == w->young &&
		       model_same(&w->young_past[st.epoch % M_EPOCHS], s, false);
	if (w->was_young) {
		store_close(s);
		return st.epoch;
	}
	if (st.epoch < low || st.epoch > high)
		fail(w, "wrong epoch", (long)st.epoch, (long)low);
	m = st.epoch > low ? w->tried : w->past;
	if (!model_same(&m[st.epoch % M_EPOCHS], s, false))
		fail(w, "wrong contents of epoch", (long)st.epoch, 0);
	if (!says_what_it_has(w, s))
		fail(w, "a feature is used before the superblock says so", (long)st.epoch, 0);
	faults = store_check(s, &rep);
	if (faults)
		fail(w, "the check finds faults", faults, 0);
	store_close(s);
	w->both[st.epoch > low]++;
	return st.epoch;
}

/* => returns whether the segment may go on */
static bool
commit_one(struct world *w, struct store *s, struct model *m)
{
	struct mark *k = &w->mark[w->marks++];
	struct store_note note = {0};
	struct pages pages = {0};
	struct model next = *m;
	struct store_status st;
	bool again = false;
	u64 epoch;
	int err;

	store_status(s, &st);
	*k = (struct mark){.begun = w->d.ops, .done = SIZE_MAX, .epoch = st.epoch + 1};
	(void)model_change(&next, s, &w->r, &w->next_id, &pages);
	w->tried[k->epoch % M_EPOCHS] = next;
	err = store_commit(s, &note, &epoch);
	if (err == -EIO) {
		/* The same once more, as an engine would. */
		again = true;
		w->errors++;
		for (unsigned o = 0; o < M_OBJECTS; o++)
			if (store_delete(s, STORE_OID_USER + o, 0, UINT64_MAX))
				break;
		for (unsigned o = 0; o < M_OBJECTS; o++) {
			for (unsigned i = 0; i < M_INDEXES; i++) {
				static u8 page[M_OBJECTS][M_INDEXES][STORE_BLOCK];
				u32 id = next.id[o][i], n;

				if (id == 0)
					continue;
				n = content(id, page[o][i]);
				err = store_put(s, STORE_OID_USER + o, model_idx(i), page[o][i], n);
			}
		}
		err = store_commit(s, &note, &epoch);
	}
	pages_free(&pages);
	if (err)
		return !again;
	k->done = w->d.ops;
	w->epochs++;
	w->past[epoch % M_EPOCHS] = next;
	*m = next;
	return true;
}

/* Runs a few commits, remembering the disk's operations. */
static void
run_segment(struct world *w, u64 epoch)
{
	struct store_how how = {.epoch = epoch, .base_items = 20 + rng_below(&w->r, 150)};
	struct store_status st;
	struct model m;
	struct store *s;
	unsigned n = 1 + rng_below(&w->r, DEPTH);
	int err;

	w->young = epoch;
	if (epoch) {
		how.epoch = 0;
		if (store_open(&tdisk_ops, &w->d, w->d.blocks, &how, &s))
			fail(w, "the store does not open again", 0, 0);
		store_status(s, &st);
		store_close(s);
		w->young = st.epoch == epoch ? 0 : st.epoch;
		memcpy(w->young_past, w->past, sizeof(w->past));
		how.epoch = epoch;
	}
	err = store_open(&tdisk_ops, &w->d, w->d.blocks, &how, &s);
	if (err)
		fail(w, "the store does not open for writing", err, (long)epoch);
	w->segments++;
	w->marks = 0;
	store_status(s, &st);
	w->first = st.epoch;
	m = w->past[st.epoch % M_EPOCHS];
	if (!model_same(&m, s, false))
		fail(w, "wrong contents at the start, of epoch", (long)st.epoch, (long)epoch);
	tdisk_forget(&w->d);
	w->d.recording = true;
	if (rng_below(&w->r, 4) == 0 && store_attempt(s))
		fail(w, "an attempt is not counted", 0, 0);
	for (unsigned i = 0; i < n && !st.failed; i++) {
		if (rng_below(&w->r, 6) == 0)
			w->d.fail_write = 1 + rng_below(&w->r, 6);
		if (rng_below(&w->r, 12) == 0)
			w->d.fail_flush = 1;
		n = commit_one(w, s, &m) ? n : 0;
		w->d.fail_write = w->d.fail_flush = 0;
		store_status(s, &st);
	}
	store_close(s);
	w->d.recording = false;
}

/* One write, as far as it came. */
static void
apply(struct world *w, const struct dop *op, unsigned how)
{
	u8 *to = w->d.mem + op->block * STORE_BLOCK;
	unsigned at = rng_below(&w->r, STORE_BLOCK / SECTOR);

	for (unsigned i = 0; i < STORE_BLOCK / SECTOR; i++) {
		bool there = how == 0 || (how == 1 && i < at) || (how == 2 && i >= at) ||
			     (how == 3 && rng_below(&w->r, 2));

		if (there)
			memcpy(to + i * SECTOR, op->data + i * SECTOR, SECTOR);
		else if (how == 3 && rng_below(&w->r, 3) == 0)
			memset(to + i * SECTOR, (int)rng_next(&w->r), SECTOR);
	}
}

/* What power may leave of the operations from `from` to `to`, none of which was flushed. */
static void
make_state(struct world *w, size_t from, size_t to, unsigned kind)
{
	size_t n = to - from, torn = n ? from + rng_below(&w->r, (u32)n) : 0;

	for (size_t i = from; i < to; i++) {
		const struct dop *op = &w->d.op[i];
		bool there =
			kind == 0 || (kind == 1 && i != torn) || (kind >= 2 && rng_below(&w->r, 2));

		if (i == torn && kind)
			apply(w, op, rng_below(&w->r, 4));
		else if (there)
			apply(w, op, 0);
	}
}

static void
undo_state(struct world *w, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++)
		memcpy(w->d.mem + w->d.op[i].block * STORE_BLOCK,
		       w->stable + w->d.op[i].block * STORE_BLOCK, STORE_BLOCK);
}

/* Which epochs may be found when power goes after `ops` operations. */
static void
expected(const struct world *w, size_t ops, u64 *low, u64 *high)
{
	*low = *high = w->first;
	for (unsigned i = 0; i < w->marks; i++) {
		if (w->mark[i].done <= ops)
			*low = *high = w->mark[i].epoch;
		else if (w->mark[i].begun < ops)
			*high = w->mark[i].epoch;
	}
}

/* Every cut of the segment; the last state stays on the disk. => returns its epoch */
static u64
cut_segment(struct world *w, unsigned long states)
{
	size_t flushed = 0, stop = rng_below(&w->r, (u32)w->d.ops + 1);
	u64 low, high, epoch = NO_EPOCH;

	memcpy(w->d.mem, w->stable, w->d.blocks * STORE_BLOCK);
	for (size_t i = 0; i <= w->d.ops; i++) {
		expected(w, i, &low, &high);
		for (unsigned kind = 0; kind < (i == flushed ? 1 : 4); kind++) {
			if (w->d.ops > 30 && i < w->d.ops && rng_below(&w->r, 3))
				continue;
			make_state(w, flushed, i, kind);
			epoch = examine(w, low, high, w->young && w->mark[0].done > i);
			w->states++;
			if ((i >= stop && kind > 0) || w->states >= states || i == w->d.ops)
				goto out;
			undo_state(w, flushed, i);
		}
		if (i < w->d.ops && w->d.op[i].blocks == 0) {
			for (size_t k = flushed; k < i; k++) {
				const struct dop *op = &w->d.op[k];

				memcpy(w->stable + op->block * STORE_BLOCK, op->data, STORE_BLOCK);
				apply(w, op, 0);
			}
			flushed = i + 1;
		}
	}
out:
	if (w->was_young)
		memcpy(w->past, w->young_past, sizeof(w->past));
	else if (epoch > low)
		w->past[epoch % M_EPOCHS] = w->tried[epoch % M_EPOCHS];
	memcpy(w->stable, w->d.mem, w->d.blocks * STORE_BLOCK);
	return epoch;
}

/* One in eight goes on from an older epoch. */
static u64
next_start(struct world *w, u64 epoch)
{
	struct store_status st;
	struct store *s;

	if (rng_below(&w->r, 8))
		return 0;
	if (store_open(&tdisk_ops, &w->d, w->d.blocks, &(struct store_how){.readonly = true}, &s))
		fail(w, "the store does not open again", 0, 0);
	store_status(s, &st);
	store_close(s);
	w->older++;
	return st.epoch == 0 ? 0 : st.oldest + rng_below(&w->r, (u32)(st.epoch - st.oldest + 1));
}

/* One disk's life. `old`: made by a kernel of before there were features, and short. */
static void
live(struct world *w, unsigned long states, bool old)
{
	unsigned segments = old ? 4 : 300;
	static const u8 uuid[16] = "crash states";
	u64 epoch = 0;

	seed_now = w->r.x;
	memset(w->past, 0, sizeof(w->past));
	memset(w->d.mem, 0, w->d.blocks * STORE_BLOCK);
	if (store_format(&tdisk_ops, &w->d, w->d.blocks, uuid, 0))
		fail(w, "no store can be made", 0, 0);
	if (old)
		tdisk_make_old(&w->d);
	memcpy(w->stable, w->d.mem, w->d.blocks * STORE_BLOCK);
	for (unsigned i = 0; i < segments && w->states < states; i++) {
		run_segment(w, epoch);
		epoch = cut_segment(w, states);
		epoch = next_start(w, epoch);
	}
}

static void
save(const struct world *w, const char *path)
{
	FILE *f = fopen(path, "wb");

	if (!f || fwrite(w->d.mem, STORE_BLOCK, w->d.blocks, f) != w->d.blocks || fclose(f)) {
		perror(path);
		exit(2);
	}
}

int
main(int argc, char **argv)
{
	struct world *w = calloc(1, sizeof(*w));
	unsigned long states = 20000;
	const char *out = NULL;
	bool verbose = false;
	int c;

	w->r.x = 1;
	while ((c = getopt(argc, argv, "n:s:o:v")) != -1) {
		if (c == 'n')
			states = strtoul(optarg, NULL, 0);
		else if (c == 's')
			w->r.x = strtoull(optarg, NULL, 0);
		else if (c == 'o')
			out = optarg;
		else if (c == 'v')
			verbose = true;
		else
			return 2;
	}
	tdisk_init(&w->d, STORE_MIN_BLOCKS);
	w->stable = malloc(w->d.blocks * STORE_BLOCK);
	for (unsigned lives = 0; w->states < states; lives++) {
		live(w, states, lives % 2 == 0);
		if (verbose)
			fprintf(stderr, "%lu states\n", w->states);
	}
	printf("%lu states of %lu cuts, %lu epochs, %lu from an older one, %lu errors; found the "
	       "last %lu times, the next %lu\n",
	       w->states, w->segments, w->epochs, w->older, w->errors, w->both[0], w->both[1]);
	if (out)
		save(w, out);
	return 0;
}

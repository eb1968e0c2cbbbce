/*
 * The failure matrix of doc/store.md, every place of each row: scripts of commits, recovery, bases
 * and recycling run on a disk (fault_disk.h) that fails at their first request, then at their
 * second, and so on to the last; and power is cut at every write and flush, at every one of what
 * comes up then, and once more.
 *
 * Whatever fails: an error that loses an epoch reaches who commits it; what the store shows is the
 * last durable epoch; no block is lost count of; the next commit works; and what a power cut leaves
 * at any such moment is the last durable epoch or the one that was tried, with all of its contents.
 *
 * HOLDFAST_TEST_SWEEP=N takes one place in N of the outermost level; 1: all.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "fault_disk.h"
#include "store_model.h"
#include "store/impl.h"

#define TRIES  16  /* of one epoch */
#define BEHIND 8ul /* requests between two faults, at most */

void assert_failed(const char *expr, const char *file, int line);

static struct { /* what is tried, for messages */
	const char *script;
	int fault;
	unsigned long at, again;
	size_t step;
	unsigned long states;
} trying;

static void
say_trying(const char *what)
{
	fprintf(stderr, "%s: script %s, step %zu, fault %d at %lu and %lu, state %lu\n", what,
		trying.script, trying.step, trying.fault, trying.at, trying.again, trying.states);
}

void
assert_failed(const char *expr, const char *file, int line)
{
	fprintf(stderr, "%s:%d: %s\n", file, line, expr);
	say_trying("assert");
	abort();
}

#define must(condition)                                                                            \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			say_trying(#condition);                                                    \
			fail();                                                                    \
		}                                                                                  \
	} while (0)

/* One system from its first start on: the store and what it has to hold. */
struct life {
	struct fdisk *d;
	struct store *s;
	u64 epoch;	/* the last durable one */
	struct model m; /* what it holds */
	struct model past[M_EPOCHS];
	unsigned tried;		    /* how often an epoch behind it was begun, */
	struct model try;	    /* which would hold this now, */
	struct model failed[TRIES]; /* or this, as it was tried before; the last of it is `try` */
	u32 attempts;
	u64 young;     /* one behind it that is not wanted, and not yet given up; 0: none */
	unsigned turn; /* of putting: each puts something else */
	u32 pages;     /* of a step that fills */
	struct pages put;
	int put_error; /* the first */
};

/* --- what scripts do --- */

static void
put_item(struct life *l, unsigned o, unsigned i, u32 id)
{
	u8 *p = malloc(STORE_BLOCK);
	int err = store_put(l->s, STORE_OID_USER + o, model_idx(i), p, content(id, p));

	l->try.id[o][i] = id;
	l->put.p[l->put.n++] = p;
	l->put_error = l->put_error ? l->put_error : err;
}

static void
put_pages(struct life *l, u32 n, u32 id)
{
	for (u32 k = 0; k < n; k++)
		put_item(l, k / M_INDEXES, k % M_INDEXES, (id + k) * 3);
}

static void
delete_objects(struct life *l, unsigned from, unsigned to)
{
	for (unsigned o = from; o <= to; o++) {
		int err = store_delete(l->s, STORE_OID_USER + o, 0, UINT64_MAX);

		memset(l->try.id[o], 0, sizeof(l->try.id[o]));
		l->put_error = l->put_error ? l->put_error : err;
	}
}

static void
put_step(struct life *l, char step)
{
	u32 id = ++l->turn * 400;
	struct rng r = {l->turn};

	l->try = l->m;
	l->put_error = 0;
	switch (step) {
	case 's': /* a few, small ones among them */
		for (unsigned k = 0; k < 12; k++)
			put_item(l, 2 + rng_below(&r, 6), rng_below(&r, M_INDEXES),
				 (id + k) * 3 + k % 2);
		delete_objects(l, l->turn % 8, l->turn % 8);
		break;
	case 'l': /* more than goes to blocks that are used again */
		put_pages(l, 70, id);
		break;
	case 'h': /* with a mark that it is there */
		put_pages(l, 260, id);
		break;
	case 'f':
		put_pages(l, l->pages, id);
		break;
	case 'd':
		delete_objects(l, 0, M_OBJECTS - 1);
		put_item(l, 0, 0, id * 3);
		break;
	}
	if (l->put_error)
		return; /* none of it is written */
	must(l->tried < TRIES);
	l->failed[l->tried++] = l->try;
}

static int
open_life(struct life *l, u64 epoch)
{
	const struct store_how how = {.epoch = epoch, .base_items = 40};

	l->s = NULL;
	return store_open(&fdisk_ops, l->d, l->d->blocks, &how, &l->s);
}

static void
close_life(struct life *l)
{
	if (l->s)
		store_close(l->s);
	l->s = NULL;
	pages_free(&l->put);
}

/* --- what has to hold --- */

static void
print_fault(void *arg, const char *what, u64 a, u64 b)
{
	fprintf(stderr, what, (unsigned long long)a, (unsigned long long)b);
	fprintf(stderr, "\n");
}

/* The store shows the last durable epoch and has no block too many. => no fault is to come */
static void
look(struct life *l)
{
	struct store_report r = {.fault = print_fault};
	struct store_status st;

	store_status(l->s, &st);
	must(st.epoch == l->epoch);
	must(model_same(&l->m, l->s, false));
	/* What was lost of a base is in memory, and is written again first of all. */
	must(l->s->base_lost || store_check(l->s, &r) == 0);
}

/* What was tried and is there. => NULL: nothing of it */
static const struct model *
find_tried(const struct life *l, struct store *s)
{
	for (unsigned i = l->tried; i > 0; i--)
		if (model_same(&l->failed[i - 1], s, false))
			return &l->failed[i - 1];
	return NULL;
}

/* What is on the disk now: the last durable epoch, or one that was tried behind it, which goes to
 * *out. => returns whether it is the latter */
static bool
examine(const struct life *l, struct model *out)
{
	struct store_report r = {.fault = print_fault};
	struct store_status st;
	struct store *s = NULL;
	bool next, young;

	trying.states++;
	must(store_open(&fdisk_ops, l->d, l->d->blocks, &(struct store_how){.readonly = true},
			&s) == 0);
	store_status(s, &st);
	young = l->young && st.epoch == l->young &&
		model_same(&l->past[st.epoch % M_EPOCHS], s, false);
	next = !young && st.epoch == l->epoch + 1;
	must(young || next || st.epoch == l->epoch);
	must(!next || find_tried(l, s));
	must(young || next || model_same(&l->m, s, false));
	must(store_check(s, &r) == 0);
	if (next && out)
		*out = *find_tried(l, s);
	store_close(s);
	return next;
}

/* Would a power cut at this moment be right? */
static void
cut_here(struct life *l)
{
	static struct fdisk kept;

	kept = *l->d;
	for (unsigned left = 0; left < (kept.n ? LEFTS : 1); left++) {
		fdisk_power_cut(l->d, left);
		(void)examine(l, NULL);
		*l->d = kept;
	}
}

/* A commit returned with success. */
static void
durable(struct life *l, u64 epoch)
{
	must(epoch == l->epoch + 1);
	l->epoch = epoch;
	l->young = 0;
	l->m = l->try;
	l->past[epoch % M_EPOCHS] = l->m;
	l->tried = 0;
	l->attempts = 0;
}

/* --- steps, with a fault in any of them --- */

/* Opened again as an engine would after a start: at once, or after one error. */
static void
reopen(struct life *l, u64 epoch)
{
	struct store_status st;
	int err = -EIO;
	bool next;

	close_life(l);
	for (int i = 0; i < 3 && err; i++) {
		unsigned long hits = l->d->hits;

		err = open_life(l, epoch);
		if (err && l->d->hits == hits)
			fprintf(stderr, "open: %d\n", err);
		must(!err || (l->d->hits > hits && (err == -EIO || err == -ENOMEM)));
	}
	must(err == 0);
	store_status(l->s, &st);
	next = !epoch && l->tried && st.epoch == l->epoch + 1;
	if (epoch) {
		l->young = l->epoch;
		l->epoch = epoch;
		l->m = l->past[epoch % M_EPOCHS];
	} else if (next) {
		must(find_tried(l, l->s));
		l->m = *find_tried(l, l->s);
		l->past[st.epoch % M_EPOCHS] = l->m;
		l->epoch++;
	}
	l->tried = 0;
	l->attempts = st.attempts;
}

/* An error was told: nothing has changed but what a power cut may show. */
static void
told(struct life *l, int err)
{
	struct store_status st;

	must(l->d->hits > 0);
	must(err == (l->d->fault == FD_ALLOC ? -ENOMEM : -EIO));
	if (l->d->fault != FD_READ || !l->d->for_good)
		look(l);
	cut_here(l);
	store_status(l->s, &st);
	if (st.failed)
		reopen(l, 0);
}

static void
recycle(struct life *l)
{
	struct store_status st;
	int err;

	do {
		unsigned long before = l->d->flush_errors;

		l->tried = 1;
		l->failed[0] = l->m;
		err = store_recycle(l->s);
		must(err == 0 || err == -ENOSPC || l->d->hits > 0);
		must(err || l->d->flush_errors == before);
		store_status(l->s, &st);
		for (; l->epoch < st.epoch; l->past[l->epoch % M_EPOCHS] = l->m)
			l->epoch++;
		if (err && err != -ENOSPC)
			told(l, err);
	} while (err && err != -ENOSPC);
	l->tried = 0;
}

static void
commit(struct life *l, char step)
{
	const struct store_note note = {.real_ns = 1};
	int err = -EIO;
	u64 epoch;

	for (int i = 0; i < TRIES && err; i++) {
		unsigned long before = l->d->flush_errors;

		put_step(l, step);
		err = store_commit(l->s, &note, &epoch);
		pages_free(&l->put);
		must(l->put_error ? err == l->put_error : err || l->d->flush_errors == before);
		if (!err)
			durable(l, epoch);
		else if (err == -ENOSPC)
			recycle(l);
		else
			told(l, err);
	}
	must(err == 0);
}

static void
attempt(struct life *l)
{
	struct store_status st;
	int err;

	do {
		err = store_attempt(l->s);
		must(!err || l->d->hits > 0);
		store_status(l->s, &st);
		must(st.attempts >= l->attempts + 1);
		l->attempts = st.attempts;
	} while (err);
}

static void
take_step(struct life *l, char step)
{
	struct store_status st;

	switch (step) {
	case 'r':
		recycle(l);
		break;
	case 'a':
		attempt(l);
		break;
	case 'o':
		reopen(l, 0);
		break;
	case 'O':
		store_status(l->s, &st);
		reopen(l, max(st.oldest, st.epoch - 2));
		break;
	case 'A':
		put_step(l, 's');
		store_abort(l->s);
		pages_free(&l->put);
		l->tried = 0;
		break;
	default:
		commit(l, step);
	}
}

static void
begin_life(struct life *l, struct fdisk *d, u32 pages)
{
	static const u8 uuid[16] = "a disk of faults";

	memset(l, 0, sizeof(*l));
	l->d = d;
	l->pages = pages;
	fdisk_clear(d);
	must(store_format(&fdisk_ops, d, d->blocks, uuid, 0) == 0);
	must(open_life(l, 0) == 0);
}

/* All steps; the last ones without faults. */
static void
run_script(struct life *l, const char *script)
{
	trying.script = script;
	for (trying.step = 0; script[trying.step]; trying.step++)
		take_step(l, script[trying.step]);
}

static void
end_life(struct life *l)
{
	fdisk_arm(l->d, FD_NONE, 0);
	trying.step = 1000;
	reopen(l, 0);
	look(l);
	for (int i = 0; i < 7; i++)
		commit(l, 's');
	reopen(l, 0);
	look(l);
	close_life(l);
}

static unsigned
sweep(unsigned step)
{
	const char *every = getenv("HOLDFAST_TEST_SWEEP");

	return every && atoi(every) > 0 ? (unsigned)atoi(every) : step;
}

/* --- one fault, or two --- */

static struct fdisk disk;
static struct life life;

/* Whatever there is to go wrong: small and large epochs, bases and the superblocks that tell of
 * them, an older epoch taken, an epoch given up; a disk that is full and made free again. */
static const char *const scripts[] = {"slsshsssodassssOsasAsss", "ffffofffdrfff"};

#define FULL_PAGES 384u /* two such epochs are more than the disk has room for beside a third */

/* => returns whether the script came to the place */
static bool
try_fault(const char *script, enum fd_fault fault, unsigned long at, unsigned long again)
{
	unsigned long hits;

	trying.fault = fault;
	trying.at = at;
	trying.again = again;
	begin_life(&life, &disk, FULL_PAGES);
	fdisk_arm(&disk, fault, at);
	disk.again = again;
	run_script(&life, script);
	hits = disk.hits;
	end_life(&life);
	return hits > 0;
}

/* Of places one in `of`, when not every one is asked for. */
static void
one_fault(enum fd_fault fault, unsigned of)
{
	unsigned long places = 0, step = sweep(of);

	for (unsigned k = 0; k < ARRAY_SIZE(scripts); k++) {
		unsigned long at = 1 + fault % step;

		for (; try_fault(scripts[k], fault, at, 0); at += step)
			places++;
	}
	printf("%lu places\n", places);
}

static void
every_read_fails_once(void **state)
{
	one_fault(FD_READ, 1);
}

static void
every_write_fails_once(void **state)
{
	one_fault(FD_WRITE_NOW, 4);
	one_fault(FD_WRITE_LATE, 4);
}

static void
every_flush_fails_once(void **state)
{
	one_fault(FD_FLUSH_KEEPS, 2);
	one_fault(FD_FLUSH_LOSES, 2);
}

static void
memory_lacks_at_every_place(void **state)
{
	one_fault(FD_ALLOC, 7);
}

/* After an error comes another, one to so many requests of the same kind later: in the same try, in
 * the second one at the other place, behind it. */
static void
every_second_fault(void **state)
{
	unsigned long places = 0, step = sweep(60);

	for (enum fd_fault fault = FD_WRITE_NOW; fault <= FD_FLUSH_LOSES; fault++)
		for (unsigned long again = 1; again <= BEHIND; again++)
			for (unsigned long at = 1 + again % step;
			     try_fault(scripts[0], fault, at, again); at += step)
				places++;
	printf("%lu places\n", places);
}

/* => returns how often a commit was refused */
static unsigned
commit_to_a_dying_disk(struct life *l)
{
	const struct store_note note = {.real_ns = 1};
	struct store_status st;
	unsigned refused = 0;
	u64 epoch;
	int err;

	for (trying.step = 0; trying.step < 14; trying.step++) {
		put_step(l, 's');
		err = store_commit(l->s, &note, &epoch);
		pages_free(&l->put);
		must(!err || (err == -EIO && l->d->hits > 0));
		must(!refused || err);
		refused += err != 0;
		store_status(l->s, &st);
		must(!st.failed || refused >= 2);
		if (!err) {
			durable(l, epoch);
			continue;
		}
		look(l);
		cut_here(l);
	}
	return refused;
}

/* From one request on the disk only reads: nothing is committed any more, what was is found at the
 * next start. */
static void
disks_fail_for_good(void **state)
{
	unsigned long places = 0, step = sweep(15);

	trying.script = "for good";
	for (enum fd_fault fault = FD_WRITE_NOW; fault <= FD_FLUSH_LOSES; fault++) {
		unsigned refused = 1;

		for (unsigned long at = 1; refused > 0; at += step, places++) {
			trying.fault = fault;
			trying.at = at;
			begin_life(&life, &disk, FULL_PAGES);
			fdisk_arm(&disk, fault, at);
			disk.for_good = true;
			refused = commit_to_a_dying_disk(&life);
			end_life(&life);
		}
	}
	printf("%lu places\n", places);
}

/* => returns whether the recovery reads so often */
static bool
recover_with(const struct life *l, unsigned long at, bool for_good)
{
	const struct store_how how = {.readonly = true};
	struct fdisk *d = l->d;
	struct store_status st;
	struct store *s;
	bool hit;
	int err;

	trying.at = at;
	fdisk_arm(d, FD_READ, at);
	d->for_good = for_good;
	err = store_open(&fdisk_ops, d, d->blocks, &how, &s);
	hit = d->hits > 0;
	must(err == 0 || (hit && err == -EIO));
	fdisk_arm(d, FD_NONE, 0);
	if (err)
		return hit;
	store_status(s, &st);
	must(st.epoch == l->epoch);
	must(model_same(&l->m, s, false));
	store_close(s);
	return hit;
}

/* Does a read that fails, once or from then on, ever make recovery believe in an older epoch? After
 * each of many commits; a power cut has left nothing, or all, of what was on its way behind it. */
static void
every_read_of_a_recovery_fails(void **state)
{
	const struct store_note note = {.real_ns = 1};
	unsigned long places = 0, step = sweep(15);
	static struct fdisk kept;
	u64 epoch;

	trying.script = "recovery";
	begin_life(&life, &disk, 0);
	for (trying.step = 0; trying.step < 60; trying.step++) {
		put_step(&life, 's');
		must(store_commit(life.s, &note, &epoch) == 0);
		durable(&life, epoch);
		pages_free(&life.put);
		kept = disk;
		for (unsigned way = 0; way < 4; way++) {
			unsigned long at = 1 + trying.step % step;

			fdisk_power_cut(&disk, way % 2 ? LEFT_ALL : LEFT_NONE);
			for (; recover_with(&life, at, way / 2); at += step)
				places++;
			disk = kept;
		}
	}
	close_life(&life);
	printf("%lu places\n", places);
}

/* The edge of the disk comes at another block with each size of an epoch: it is refused, or fits
 * when older ones are given up; nothing is lost, nothing leaks. */
static void
the_edge_of_the_disk(void **state)
{
	unsigned step = sweep(48);

	trying.fault = FD_NONE;
	for (u32 pages = 100 + step / 2; pages <= FULL_PAGES; pages += step) {
		trying.at = pages;
		begin_life(&life, &disk, pages);
		run_script(&life, "sffffffffsffdff");
		end_life(&life);
	}
}

/* --- power cuts in what comes up after power cuts --- */

#define DEEPEST 3

/* What a machine does until its second checkpoint: counts its attempt, commits. The script of the
 * outermost is longer. */
static const char *const behind_a_cut = "as";

/* The system that is there, or was, goes on in *l from the disk as it is. => returns false when
 * nothing of it was cut */
static bool
cut_short(struct life *l, const char *script)
{
	for (size_t i = 0; script[i]; i++) {
		const struct store_note note = {.real_ns = 1};
		u64 epoch;

		if (script[i] == 'a') {
			if (store_attempt(l->s))
				break;
			continue;
		}
		put_step(l, script[i]);
		if (l->put_error == 0 && store_commit(l->s, &note, &epoch) == 0)
			durable(l, epoch);
		pages_free(&l->put);
		if (l->d->down)
			break;
	}
	close_life(l);
	return l->d->down;
}

/* Every cut of the script, from the disk as it is, with each thing that may be left of it; the same
 * of what comes up then. */
static void
cuts(const struct life *from, const char *script, unsigned depth, unsigned step)
{
	static struct fimage images[DEEPEST + 1];
	static struct life lives[DEEPEST + 1], lefts[DEEPEST + 1];
	struct fimage *image = &images[depth];
	struct life *l = &lives[depth], *left = &lefts[depth];
	bool more = true;

	fdisk_save(from->d, image);
	for (unsigned long at = 1 + step / 2; more; at += step) {
		for (unsigned kind = 0; kind < LEFTS && more; kind++) {
			unsigned long changes;

			*l = *from;
			fdisk_load(l->d, image);
			changes = l->d->changes;
			must(open_life(l, 0) == 0);
			must(l->d->changes == changes); /* recovery only reads */
			l->s->base_items = 30;
			fdisk_arm(l->d, FD_CUT, at);
			more = cut_short(l, script);
			fdisk_power_cut(l->d, (enum fd_left)kind);
			*left = *l;
			if (examine(left, &left->m))
				left->epoch++;
			left->tried = 0;
			if (more && depth > 1)
				cuts(left, behind_a_cut, depth - 1, 1);
		}
	}
}

/* Two levels, when not every place is asked for. */
static void
power_cuts_three_levels_deep(void **state)
{
	unsigned step = sweep(9), depth = step < 9 ? DEEPEST : DEEPEST - 1;

	trying.script = "cuts";
	trying.states = 0;
	begin_life(&life, &disk, 0);
	close_life(&life);
	cuts(&life, "sssssssssslsdss", depth, step);
	printf("%lu states\n", trying.states);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_read_fails_once),
		cmocka_unit_test(every_write_fails_once),
		cmocka_unit_test(every_flush_fails_once),
		cmocka_unit_test(memory_lacks_at_every_place),
		cmocka_unit_test(every_second_fault),
		cmocka_unit_test(disks_fail_for_good),
		cmocka_unit_test(every_read_of_a_recovery_fails),
		cmocka_unit_test(the_edge_of_the_disk),
		cmocka_unit_test(power_cuts_three_levels_deep),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

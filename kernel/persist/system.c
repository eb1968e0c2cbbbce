/*
 * The record of the system: what belongs to no object. The counter of ids, clocks, the processor's
 * features, a seed, names, the roots.
 *
 * CLOCK_MONOTONIC goes on from the cut. CLOCK_REALTIME is what the hardware says, but not before
 * the cut's; the difference of the two is the outage, which CLOCK_BOOTTIME gets. A start with the
 * files alone is a new system: only CLOCK_REALTIME looks back, so that files stay in the past.
 */
#include <asm/errno.h>

#include "arch/clock.h"
#include "arch/context.h"
#include "arch/cpu.h"
#include "core/klog.h"
#include "core/random.h"
#include "core/timer.h"
#include "lib/string.h"
#include "mm/frame.h"
#include "persist/impl.h"
#include "proc/persist.h"
#include "proc/process.h"

#define TO_MIB(pages) ((pages) >> (20 - PAGE_SHIFT))

/* What programs may have found by CPUID and use: 1 ECX, EDX; 7.0 EBX, ECX, EDX; 0x80000001 ECX. */
void
system_features(u64 word[FEATURE_WORDS])
{
	u32 r[4];

	word[0] = fpu_features();
	cpuid(1, 0, r);
	word[1] = r[2] & ~(1u << 27); /* OSXSAVE is the kernel's */
	word[2] = r[3];
	cpuid(7, 0, r);
	word[3] = r[1];
	word[4] = r[2];
	word[5] = r[3];
	cpuid(0x80000001, 0, r);
	word[6] = r[2];
}

void
system_save(const struct persist *p, struct persist_writer *w, const u8 seed[SEED_BYTES])
{
	const u64 clocks[] = {(u64)clock_now(), (u64)(clock_now() + clock_real_offset()),
			      (u64)clock_boot_offset()};
	struct memory_info m;

	memory_info(&m);
	tag_u64(&w->tags, S_NEXT_ID, p->next_id);
	tag_words(&w->tags, S_CLOCKS, clocks, ARRAY_SIZE(clocks));
	tag_bytes(&w->tags, S_SEED, seed, SEED_BYTES);
	tag_words(&w->tags, S_FEATURES, p->features, FEATURE_WORDS);
	processes_save(w, S_PROCESSES);
	tag_u64(&w->tags, S_RESUMES, p->resumes);
	tag_u64(&w->tags, S_ENDED, p->ended);
	tag_words(&w->tags, S_MEMORY, (const u64[]){m.anonymous, m.total}, 2);
	system_reach(w);
}

void
system_reach(struct persist_writer *w)
{
	for (unsigned i = 0; i < persist_roots_n; i++)
		persist_ref(w, persist_roots[i].tag, persist_roots[i].kind, persist_roots[i].get());
}

static int
check_features(const struct tag_reader *in)
{
	u64 then[FEATURE_WORDS], now[FEATURE_WORDS];

	if (tag_get_words(in, S_FEATURES, then, FEATURE_WORDS) != FEATURE_WORDS)
		return -EBADMSG;
	system_features(now);
	for (unsigned i = 0; i < FEATURE_WORDS; i++)
		if (then[i] & ~now[i]) {
			klog(KLOG_WARN, "persist",
			     "this processor lacks what the processes use: features %u: %lx of %lx",
			     i, now[i] & then[i], then[i]);
			return -EOPNOTSUPP;
		}
	return 0;
}

/* What processes had in memory of their own they will want again. Where it has no room they would
 * go on, be ended one by one for want of memory, and the next checkpoint would keep that. What they
 * had not touched since the resume before was on the disk alone and does not count. */
static int
check_memory(const struct tag_reader *in)
{
	struct memory_info now;
	u64 then[2];

	if (tag_get_words(in, S_MEMORY, then, 2) != 2) /* of an older kernel */
		return 0;
	memory_info(&now);
	if (then[0] <= now.free)
		return 0;
	klog(KLOG_WARN, "persist",
	     "the processes have %lu MiB in memory; this machine has %lu free, that one had %lu",
	     TO_MIB(then[0]), TO_MIB(now.free), TO_MIB(then[1]));
	return -ENOMEM;
}

static int
load_clocks(struct persist *p, const struct tag_reader *in)
{
	ns_t mono, real, now;
	u64 word[3];

	if (tag_get_words(in, S_CLOCKS, word, 3) != 3)
		return -EBADMSG;
	mono = (ns_t)word[0];
	real = (ns_t)word[1];
	now = clock_now() + clock_real_offset();
	p->outage_ns = max(now - real, (ns_t)0);
	if (p->options.fresh) {
		(void)clock_go_on(0, max(now, real));
		return 0;
	}
	p->resume_ns += clock_go_on(mono, max(now, real));
	timers_clock_went_on();
	clock_set_boot_offset((ns_t)word[2] + p->outage_ns);
	return 0;
}

int
system_check(struct persist *p, struct persist_reader *r)
{
	int err = 0;

	if (tag_get_u64(&r->tags, S_ENDED, 0))
		p->options.fresh = true;
	if (!p->options.fresh)
		err = check_features(&r->tags);
	if (!err && !p->options.fresh)
		err = check_memory(&r->tags);
	return err;
}

int
system_load(struct persist *p, struct persist_reader *r)
{
	u8 seed[SEED_BYTES];
	int err = load_clocks(p, &r->tags);

	if (!err && !p->options.fresh)
		err = processes_load(r, S_PROCESSES);
	if (err)
		return err;
	if (tag_get_bytes(&r->tags, S_SEED, seed, sizeof(seed)))
		random_add(seed, sizeof(seed));
	p->next_id = tag_get_u64(&r->tags, S_NEXT_ID, 0);
	p->resumes = tag_get_u64(&r->tags, S_RESUMES, 0) + 1;
	return p->next_id < ID_FIRST ? -EBADMSG : 0;
}

void *
system_root(struct persist_reader *r, const struct persist_kind *kind)
{
	for (unsigned i = 0; i < persist_roots_n; i++)
		if (persist_roots[i].kind == kind)
			return persist_get(r, &r->tags, persist_roots[i].tag, kind);
	return NULL;
}

/* --- objects that each kernel makes anew --- */

void
known_objects_init(void)
{
	struct vm_object *vdso = processes()->vdso;

	if (vdso)
		((struct persistent *)((char *)vdso + vm_object_persist.member))->id = ID_VDSO;
}

void *
known_object(u64 id, const struct persist_kind *kind)
{
	return id == ID_VDSO && kind == &vm_object_persist ? processes()->vdso : NULL;
}

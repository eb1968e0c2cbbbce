/*
 * Which disk is the store, which epoch is resumed, and whether. See persist.h for what the host
 * says. A blank disk that was named is formatted; any other disk is left alone.
 *
 * An epoch is tried three times, then the one before it, as far back as the store has any; then the
 * machine starts clean. Where the first record cannot be read, or the attempt not be noted, the
 * store is left alone and nothing is kept: the next start may find what it is.
 */
#include <asm/errno.h>

#include "arch/clock.h"
#include "core/klog.h"
#include "core/random.h"
#include "dev/fwcfg.h"
#include "dev/power.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "persist/impl.h"
#include "persist/persist.h"

#define OPTIONS_BLOB   "opt/holdfast/store"
#define OPTIONS_MAX    256
#define EXIT_NO_RESUME 125 /* as of a panic: no program ended */
#define MORE_MEMORY    "start with more (--memory)"
#define DISK_ERRORS    "start again when the disk has no errors, or with --epoch for an older one"

/* --- options --- */

static u64
number_of(const char *s)
{
	u64 n = 0;

	for (; *s >= '0' && *s <= '9'; s++)
		n = n * 10 + (u64)(*s - '0');
	return n;
}

static void
take_word(struct persist_options *o, const char *word)
{
	if (strncmp(word, "disk=", 5) == 0)
		string_copy(o->disk, word + 5, sizeof(o->disk));
	else if (strncmp(word, "period=", 7) == 0)
		o->period_ms = number_of(word + 7);
	else if (strncmp(word, "epoch=", 6) == 0)
		o->epoch = number_of(word + 6);
	else if (strcmp(word, "fresh=1") == 0)
		o->fresh = true;
	else
		klog(KLOG_WARN, "persist", "%s says '%s', which means nothing", OPTIONS_BLOB, word);
}

static bool
read_options(struct persist_options *o)
{
	char text[OPTIONS_MAX];
	ssize_t n = fwcfg_read(OPTIONS_BLOB, text, sizeof(text) - 1);
	char *at = text, *end;

	if (n <= 0)
		return false;
	text[n] = 0;
	while (*at) {
		for (end = at; *end && *end != ' '; end++)
			;
		if (*end)
			*end++ = 0;
		if (*at)
			take_word(o, at);
		at = end;
	}
	return o->disk[0] != 0;
}

/* --- the store --- */

static int
format_blank(struct store_disk *d)
{
	u8 uuid[16];

	random_bytes(uuid, sizeof(uuid));
	return store_format(&store_disk_ops, d, d->blocks, uuid,
			    (u64)(clock_now() + clock_real_offset()));
}

static int
open_epoch(struct persist *p, u64 epoch)
{
	const struct store_how how = {.epoch = epoch};

	return store_open(&store_disk_ops, &p->disk, p->disk.blocks, &how, &p->store);
}

static bool
store_is_empty(const struct store *s)
{
	struct store_status st;

	store_status(s, &st);
	return st.epoch == 0;
}

/* Opens the youngest epoch from `epoch` on back that was tried less than `tries` times. *found is
 * false when there is none: then the oldest is open. */
static int
open_tried_less(struct persist *p, u64 epoch, u32 tries, bool *found)
{
	struct store_status st;
	int err;

	for (;;) {
		err = open_epoch(p, epoch);
		if (err)
			return err;
		store_status(p->store, &st);
		*found = st.epoch > 0 && st.attempts < tries;
		if (*found || st.epoch == 0)
			return 0;
		klog(KLOG_WARN, "persist", "epoch %lu was resumed %u times and came to nothing",
		     st.epoch, st.attempts);
		if (st.epoch <= st.oldest || st.epoch == 1)
			return 0;
		epoch = st.epoch - 1;
		store_close(p->store);
		p->store = NULL;
	}
}

/* First epochs as they are, then the same without their processes; *found is false when neither
 * came to anything. */
static int
open_untried(struct persist *p, bool *found)
{
	int err = open_tried_less(p, p->options.epoch, RESUME_TRIES, found);

	if (err || *found || store_is_empty(p->store))
		return err;
	store_close(p->store);
	p->store = NULL;
	p->options.fresh = true;
	err = open_tried_less(p, p->options.epoch, 2 * RESUME_TRIES, found);
	if (!err && *found)
		klog(KLOG_WARN, "persist", "a clean start, with the files alone");
	else if (!err)
		klog(KLOG_WARN, "persist", "a clean start: files and processes are forgotten");
	return err;
}

static int
open_disk(struct persist *p, bool *found)
{
	struct block_device *dev = NULL;
	enum store_kind kind;
	int err;

	do
		dev = block_next(dev);
	while (dev && strcmp(dev->name, p->options.disk) != 0);
	if (!dev)
		return -ENODEV;
	err = store_disk_find(&p->disk, dev);
	store_disk_read_ahead(&p->disk, !err);
	if (!err)
		err = store_probe(&store_disk_ops, &p->disk, p->disk.blocks, &kind);
	if (!err && kind == STORE_OTHER)
		err = -EMEDIUMTYPE;
	if (!err && kind == STORE_BLANK)
		err = format_blank(&p->disk);
	if (!err)
		err = open_untried(p, found);
	dev->in_use = !err;
	return err;
}

static void
init_engine(struct persist *p)
{
	mutex_init(&p->store_lock, "store");
	spin_init(&p->lock, "persist", RANK_FILE);
	waitq_init(&p->work);
	waitq_init(&p->done);
	waitq_init(&p->resumed);
	entry_table_init(p);
	persist_marks_init(&p->marks);
	p->full = true;
	system_features(p->features);
	p->next_id = ID_FIRST;
	p->period = p->options.period_ms ? (ns_t)p->options.period_ms * NS_PER_MS : NS_FOREVER;
}

/* Everything the store has is not this system's: the first cut deletes it. */
static int
forget_objects(struct persist *p)
{
	struct store_item item;
	u64 from = STORE_OID_USER;
	int err;

	while ((err = store_next(p->store, from, 0, &item)) == 0) {
		struct entry *e = entry_get(p, item.oid);

		if (!e)
			return -ENOMEM;
		e->stored = true;
		p->next_id = max(p->next_id, item.oid + 1);
		from = item.oid + 1;
	}
	return err == -ENOENT ? 0 : err;
}

static void
close_store(struct persist *p)
{
	resume_forget(p);
	if (p->store)
		store_close(p->store);
	store_disk_read_ahead(&p->disk, false);
	p->store = NULL;
}

static void
no_store(struct persist *p, int err)
{
	const char *why = err == -ENODEV	? "there is no such disk"
			  : err == -EMEDIUMTYPE ? "it holds something else and is left alone"
			  : err == -EOPNOTSUPP	? "it is of a later kernel and is left alone"
						: "it cannot be used";

	if (err == -ENOENT)
		klog(KLOG_WARN, "persist", "%s: it has no epoch %lu (error %d); nothing is kept",
		     p->options.disk, p->options.epoch, -err);
	else if (err == -EIO)
		klog(KLOG_WARN, "persist",
		     "%s cannot be read (error %d); nothing is kept: " DISK_ERRORS, p->options.disk,
		     -err);
	else
		klog(KLOG_WARN, "persist", "%s is no store: %s (error %d); nothing is kept",
		     p->options.disk, why, -err);
	close_store(p);
}

/* What could not be read may be there at the next start: nothing of it is written over. */
static void
leave_alone(struct persist *p, int err)
{
	const char *what = err == -ENOMEM ? MORE_MEMORY
			   : err == -EOPNOTSUPP
				   ? "start on a processor that has it, or with --fresh"
			   : err == -EROFS ? "start the kernel that wrote it"
					   : DISK_ERRORS;

	klog(KLOG_WARN, "persist",
	     "epoch %lu of %s cannot be resumed: error %d; it is left alone, nothing is kept: %s",
	     p->epoch, p->options.disk, -err, what);
	close_store(p);
}

/* What is damaged stays so: the next start takes another epoch at once. */
static void
use_up_tries(struct persist *p)
{
	u32 tries = p->options.fresh ? 2 * RESUME_TRIES : RESUME_TRIES;
	struct store_status st;

	do
		store_status(p->store, &st);
	while (st.attempts < tries && store_attempt(p->store) == 0);
}

/* The epoch is not to blame: a larger machine can resume it. => does not return */
static void
end_small_machine(const struct persist *p)
{
	klog(KLOG_WARN, "persist",
	     "epoch %lu of %s needs more memory than this machine has; it is left "
	     "alone: " MORE_MEMORY,
	     p->epoch, p->options.disk);
	control_line("exit %d", EXIT_NO_RESUME);
	power_off();
}

/* The epoch that was opened cannot be resumed. => the attempt is noted: so it comes to an end
 * => does not return */
static void
start_again(struct persist *p, int err)
{
	if (err == -ENOMEM && store_attempt_void(p->store) == 0)
		end_small_machine(p);
	klog(KLOG_WARN, "persist", "epoch %lu cannot be resumed: error %d; starting again",
	     p->epoch, -err);
	if (err == -EBADMSG)
		use_up_tries(p);
	control_line("again");
	power_reboot();
}

/* The system of the epoch that is open. 0, or why the store is to be left alone: also when no
 * attempt can be noted, which would be made again and again. */
static int
begin_resume(struct persist *p)
{
	int found = resume_read_system(p), err;

	if (found == -ENODATA) {
		klog(KLOG_WARN, "persist", "epoch %lu has no system: a clean start", p->epoch);
		return 0;
	}
	if (found == -ENOMEM)
		end_small_machine(p);
	if (found && found != -EBADMSG)
		return found;
	err = store_attempt(p->store);
	if (err)
		return err;
	if (!found)
		found = resume_take_system(p);
	if (found)
		start_again(p, found);
	p->resumed_epoch = p->epoch;
	return 0;
}

static void
open_store(struct persist *p)
{
	struct store_status st;
	bool found = false;
	int err = open_disk(p, &found);

	if (!err && found) {
		store_status(p->store, &st);
		p->epoch = st.epoch;
		err = begin_resume(p);
		if (err) {
			leave_alone(p, err);
			return;
		}
	}
	if (!err && !p->resumed_epoch)
		err = forget_objects(p);
	if (!err)
		err = vm_pager_start(p);
	if (err)
		no_store(p, err);
	else
		commit_note_room(p, 0);
}

void
persist_open(void)
{
	struct persist_options options = {.period_ms = 1000};
	struct persist *p;

	if (!read_options(&options))
		return;
	p = kzalloc(sizeof(*p));
	if (!p) {
		klog(KLOG_WARN, "persist", "no memory for checkpoints: nothing will be kept");
		return;
	}
	p->options = options;
	init_engine(p);
	machine()->persist = p;
	p->resume_ns = clock_now();
	open_store(p);
	if (!p->store)
		return;
	quiesce_init(&p->quiesce);
	engine_init();
}

const struct store *
persist_store(void)
{
	return persist() ? persist()->store : NULL;
}

const struct block_device *
persist_disk(void)
{
	return persist_store() ? persist()->disk.dev : NULL;
}

bool
persist_resuming(void)
{
	return persist() && persist()->load;
}

/* --- the resume --- */

bool
persist_resume(void)
{
	struct persist *p = persist();
	int err;

	if (!p || !p->store)
		return false;
	known_objects_init();
	device_init();
	if (!p->load)
		return false;
	err = resume_load(p);
	if (err)
		start_again(p, err);
	p->resume_ns = clock_now() - p->resume_ns;
	klog(KLOG_BOOT, "persist", "epoch %lu, %lld ms old, %s; resumed in %lld ms",
	     p->resumed_epoch, p->outage_ns / NS_PER_MS,
	     p->options.fresh ? "its files without its processes" : "goes on",
	     p->resume_ns / NS_PER_MS);
	return !p->options.fresh;
}

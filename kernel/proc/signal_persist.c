/* Signals in the store: pending ones with their information in order, and the table of actions. */
#include <asm/errno.h>

#include "lib/string.h"
#include "mm/slab.h"
#include "proc/persist.h"
#include "proc/process.h"

enum { Q_SET = 1, Q_INFO = 2 };
enum { H_ACTION = 1 };

#define INFO_WORDS   16
#define ACTION_WORDS 4

void
tag_rows(struct tag_writer *w, const struct tag_row *row, unsigned rows)
{
	for (unsigned i = 0; i < rows; i++)
		tag_words(w, row[i].tag, row[i].word, row[i].n);
}

size_t
tag_get_words(const struct tag_reader *in, u16 tag, u64 *word, size_t n)
{
	struct tag_field f = {0};

	if (!tag_next(in, tag, &f))
		return 0;
	n = min(n, f.length / sizeof(*word));
	memcpy(word, f.data, n * sizeof(*word));
	return n;
}

/* --- pending --- */

/*
 * Members of struct sigqueue over a power cut:
 *	written	set infos
 *	made	count
 */
/*
 * Members of struct siginfo_item over a power cut:
 *	written	info
 *	made	link
 */
void
sigqueue_save(struct tag_writer *w, u16 tag, const struct sigqueue *q)
{
	const struct siginfo_item *i;
	size_t group;

	if (!q->set && list_empty(&q->infos))
		return;
	group = tag_begin(w, tag);
	tag_u64(w, Q_SET, q->set);
	list_for_each_entry (i, &q->infos, link) {
		const struct siginfo_k *k = &i->info;
		const u64 word[INFO_WORDS] = {(u64)k->signo, (u64)k->err,      (u64)k->code,
					      (u64)k->pid,   (u64)k->uid,      (u64)k->status,
					      (u64)k->value, (u64)k->addr,     (u64)k->utime,
					      (u64)k->stime, (u64)k->timer_id, (u64)k->overrun,
					      (u64)k->band,  (u64)k->fd};

		tag_words(w, Q_INFO, word, INFO_WORDS);
	}
	tag_end(w, group);
}

static int
load_info(const struct tag_field *f, struct sigqueue *q)
{
	struct siginfo_item *i;
	u64 word[INFO_WORDS];

	if (f->length != sizeof(word))
		return -EBADMSG;
	memcpy(word, f->data, sizeof(word));
	if (word[0] < 1 || word[0] > SIG_COUNT)
		return -EBADMSG;
	i = kzalloc(sizeof(*i));
	if (!i)
		return -ENOMEM;
	i->info = (struct siginfo_k){
		.signo = (int)word[0],
		.err = (int)word[1],
		.code = (int)word[2],
		.pid = (int)word[3],
		.uid = (u32)word[4],
		.status = (int)word[5],
		.value = word[6],
		.addr = word[7],
		.utime = word[8],
		.stime = word[9],
		.timer_id = (int)word[10],
		.overrun = (int)word[11],
		.band = (int)word[12],
		.fd = (int)word[13],
	};
	list_add_tail(&q->infos, &i->link);
	q->count++;
	return 0;
}

int
sigqueue_load(const struct tag_reader *in, u16 tag, struct sigqueue *q)
{
	struct tag_field f = {0}, info = {0};
	struct tag_reader group;
	int err = 0;

	if (!tag_next(in, tag, &f))
		return 0;
	group = tag_group(&f);
	q->set = tag_get_u64(&group, Q_SET, 0);
	while (!err && tag_next(&group, Q_INFO, &info))
		err = load_info(&info, q);
	return err;
}

/* --- actions --- */

static void
handlers_save(struct persist_writer *w, void *object)
{
	const struct sighandlers *h = object;
	u64 word[SIG_COUNT][ACTION_WORDS];

	for (int i = 0; i < SIG_COUNT; i++) {
		word[i][0] = h->action[i].handler;
		word[i][1] = h->action[i].flags;
		word[i][2] = h->action[i].restorer;
		word[i][3] = h->action[i].mask;
	}
	tag_words(&w->tags, H_ACTION, word[0], SIG_COUNT * ACTION_WORDS);
}

static int
handlers_make(struct persist_reader *r, void **out)
{
	struct sighandlers *h = sighandlers_create();
	u64 word[SIG_COUNT][ACTION_WORDS];

	if (!h)
		return -ENOMEM;
	if (!tag_get_bytes(&r->tags, H_ACTION, word, sizeof(word))) {
		sighandlers_put(h);
		return -EBADMSG;
	}
	for (int i = 0; i < SIG_COUNT; i++)
		h->action[i] = (struct sigaction_k){
			.handler = word[i][0],
			.flags = word[i][1],
			.restorer = word[i][2],
			.mask = word[i][3],
		};
	*out = h;
	return 0;
}

static void
handlers_put(void *object)
{
	sighandlers_put(object);
}

/*
 * Members of struct sighandlers over a power cut:
 *	written	action
 *	made	refs lock persistent
 */
const struct persist_kind sighandlers_persist = {
	.name = "signal handlers",
	.number = 50,
	.marked = true,
	.member = offsetof(struct sighandlers, persistent),
	.save = handlers_save,
	.make = handlers_make,
	.put = handlers_put,
};

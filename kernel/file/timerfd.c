/*
 * timerfd (man 2 timerfd_create): a timer whose expirations are read as a count.
 *
 * The kernel timer fires once for each time the file is read: a periodic timer that nobody reads
 * costs nothing, the count of what was missed is worked out at the next read. Expiry times of
 * absolute timers on the real-time clock are kept on that clock, so they move when it is set; all
 * others are on the monotonic one. CLOCK_BOOTTIME equals CLOCK_MONOTONIC here: the machine does not
 * suspend.
 *
 * Locks: `setting` (mutex) serialises changes, as a timer may be cancelled only without its lock;
 * ipc->lock guards the list of real-time timers; then the timerfd's lock, which the handler takes.
 */
#include "file/timerfd.h"

#include <asm/errno.h>
#include <asm/fcntl.h>
#include <linux/time.h>
#include <linux/timerfd.h>

#include "arch/clock.h"
#include "core/timer.h"
#include "file/ipc_impl.h"
#include "lib/format.h"
#include "mm/slab.h"

struct timerfd {
	struct mutex setting;
	struct spinlock lock; /* rank RANK_FILE */
	int clock;	      /* [I] */
	int flags;	      /* [lock] of the last setting */
	ns_t expires;	      /* [lock] on its clock; 0: disarmed */
	ns_t interval;	      /* [lock] */
	bool expired;	      /* [lock] and not read since */
	u64 ticks;	      /* [lock] expirations counted so far */
	bool clock_set;	      /* [lock] for TFD_TIMER_CANCEL_ON_SET */
	struct timer timer;
	struct waitq readers; /* [lock] */
	struct list link;     /* [ipc->lock] clock_timers */
};

static void
timerfd_fire(struct timer *timer)
{
	struct timerfd *t = container_of(timer, struct timerfd, timer);

	spin_lock(&t->lock);
	t->expired = true;
	t->ticks++;
	waitq_wake_events(&t->readers, ~0u, POLL_IN);
	spin_unlock(&t->lock);
}

static bool
is_real_absolute(const struct timerfd *t)
{
	return t->clock == CLOCK_REALTIME && (t->flags & TFD_TIMER_ABSTIME) && t->expires != 0;
}

/* What its expiry is on. => t->lock held */
static ns_t
timerfd_now(const struct timerfd *t)
{
	return clock_now() + (is_real_absolute(t) ? clock_real_offset() : 0);
}

/* => t->lock held; the kernel timer is not pending. */
static void
start(struct timerfd *t)
{
	if (is_real_absolute(t))
		timer_start_wall(&t->timer, t->expires);
	else
		timer_start(&t->timer, t->expires);
}

/* A periodic timer that expired: counts the periods since and starts the next one.
 * => t->lock held; the kernel timer is not pending. */
static void
catch_up(struct timerfd *t)
{
	ns_t now = timerfd_now(t);

	if (!t->expired || t->interval == 0)
		return;
	t->expires += t->interval;
	if (t->expires <= now) {
		u64 missed = (now - t->expires) / t->interval + 1;

		t->ticks += missed;
		t->expires += missed * t->interval;
	}
	t->expired = false;
	start(t);
}

static ssize_t
timerfd_read(struct file *f, struct uio *u, u64 *pos)
{
	struct timerfd *t = f->private;
	u64 ticks = 0;
	int err = 0;

	if (u->resid < sizeof(ticks))
		return -EINVAL;
	spin_lock(&t->lock);
	while (t->ticks == 0 && !t->clock_set && !err) {
		if (file_nonblock(f))
			err = -EAGAIN;
		else
			err = waitq_sleep(&t->readers, &t->lock, NS_FOREVER, WAIT_INTERRUPTIBLE);
	}
	if (t->clock_set) {
		t->clock_set = false;
		t->ticks = 0;
		err = -ECANCELED;
	} else if (t->ticks > 0) {
		err = 0;
		catch_up(t);
		ticks = t->ticks;
		t->ticks = 0;
	}
	spin_unlock(&t->lock);
	if (err)
		return err;
	return uio_copy_out(u, &ticks, sizeof(ticks)) == sizeof(ticks) ? (ssize_t)sizeof(ticks)
								       : -EFAULT;
}

static unsigned
timerfd_poll(struct file *f, struct poll_table *pt)
{
	struct timerfd *t = f->private;
	unsigned events;

	spin_lock(&t->lock);
	poll_add(pt, &t->readers, &t->lock);
	events = t->ticks > 0 || t->clock_set ? POLL_IN : 0;
	spin_unlock(&t->lock);
	return events;
}

static void
timerfd_release(struct file *f)
{
	struct timerfd *t = f->private;
	struct ipc *ipc = ipc_root();

	spin_lock(&ipc->lock);
	list_del(&t->link);
	spin_unlock(&ipc->lock);
	timer_cancel(&t->timer);
	kfree(t);
}

static size_t
timerfd_name(struct file *f, char *buf, size_t size)
{
	return format(buf, size, "anon_inode:[timerfd]");
}

static size_t
timerfd_fdinfo(struct file *f, char *buf, size_t size)
{
	struct timerfd_setting s;
	struct timerfd *t = f->private;

	if (timerfd_get(f, &s))
		return 0;
	return format(buf, size,
		      "clockid: %d\nticks: %lu\nsettime flags: 0%o\nit_value: (%ld, %ld)\n"
		      "it_interval: (%ld, %ld)\n",
		      t->clock, (unsigned long)atomic_load(&t->ticks), t->flags,
		      (long)(s.value / NS_PER_SEC), (long)(s.value % NS_PER_SEC),
		      (long)(s.interval / NS_PER_SEC), (long)(s.interval % NS_PER_SEC));
}

static struct timerfd *
timerfd_alloc(int clock)
{
	struct timerfd *t = kzalloc(sizeof(*t));

	if (!t)
		return NULL;
	mutex_init(&t->setting, "timerfd setting");
	spin_init(&t->lock, "timerfd", RANK_FILE);
	waitq_init(&t->readers);
	timer_init(&t->timer, timerfd_fire);
	list_init(&t->link);
	t->clock = clock;
	return t;
}

/* --- the store --- */

enum {
	TIMER_CLOCK = 1,
	TIMER_FLAGS = 2,
	TIMER_EXPIRES = 3, /* on its clock */
	TIMER_INTERVAL = 5,
	TIMER_EXPIRED = 6,
	TIMER_TICKS = 7,
	TIMER_CLOCK_SET = 8,
};

static void
timerfd_save(struct persist_writer *w, struct file *f)
{
	const struct timerfd *t = f->private;

	tag_u64(&w->tags, TIMER_CLOCK, (u64)t->clock);
	tag_u64(&w->tags, TIMER_FLAGS, (u64)t->flags);
	tag_u64(&w->tags, TIMER_EXPIRES, (u64)t->expires);
	tag_u64(&w->tags, TIMER_INTERVAL, (u64)t->interval);
	tag_u64(&w->tags, TIMER_EXPIRED, t->expired);
	tag_u64(&w->tags, TIMER_TICKS, t->ticks);
	tag_u64(&w->tags, TIMER_CLOCK_SET, t->clock_set);
}

static u64
timerfd_version(struct persist_writer *w, u64 h, struct file *f)
{
	const struct timerfd *t = f->private;

	h = persist_mix(h, (u64)t->clock << 32 | (u32)t->flags);
	h = persist_mix(h, (u64)t->expires);
	h = persist_mix(h, (u64)t->interval);
	h = persist_mix(h, t->ticks);
	return persist_mix(h, t->expired | (u64)t->clock_set << 1);
}

static int
timerfd_link(struct persist_reader *r, const struct tag_reader *in, struct file *f)
{
	struct timerfd *t = timerfd_alloc((int)tag_get_u64(in, TIMER_CLOCK, CLOCK_MONOTONIC));

	if (!t)
		return -ENOMEM;
	t->flags = (int)tag_get_u64(in, TIMER_FLAGS, 0);
	t->expires = (ns_t)tag_get_u64(in, TIMER_EXPIRES, 0);
	t->interval = (ns_t)tag_get_u64(in, TIMER_INTERVAL, 0);
	t->expired = tag_get_u64(in, TIMER_EXPIRED, 0) != 0;
	t->ticks = tag_get_u64(in, TIMER_TICKS, 0);
	t->clock_set = tag_get_u64(in, TIMER_CLOCK_SET, 0) != 0;
	f->private = t;
	return 0;
}

/* The real-time clock has jumped by the outage, as if it had been set. */
static int
timerfd_restart(struct persist_reader *r, const struct tag_reader *in, struct file *f)
{
	struct timerfd *t = f->private;
	struct ipc *ipc = ipc_root();

	spin_lock(&ipc->lock);
	spin_lock(&t->lock);
	if (is_real_absolute(t)) {
		list_add_tail(&ipc->clock_timers, &t->link);
		if (t->flags & TFD_TIMER_CANCEL_ON_SET)
			t->clock_set = true;
	}
	if (t->expires != 0 && !t->expired)
		start(t);
	spin_unlock(&t->lock);
	spin_unlock(&ipc->lock);
	return 0;
}

/*
 * Members of struct timerfd over a power cut:
 *	written	clock flags expires interval expired ticks clock_set
 *	made	setting lock timer readers link
 */
static const struct file_persist timerfd_persist = {
	.number = FILE_TIMERFD,
	.save = timerfd_save,
	.version = timerfd_version,
	.link = timerfd_link,
	.start = timerfd_restart,
};

static const struct file_ops timerfd_ops = {
	.kind = "timerfd",
	.read = timerfd_read,
	.poll = timerfd_poll,
	.release = timerfd_release,
	.name = timerfd_name,
	.fdinfo = timerfd_fdinfo,
	.persist = &timerfd_persist,
};

int
timerfd_create_file(int clock, unsigned flags, struct file **out)
{
	struct timerfd *t = timerfd_alloc(clock);

	if (!t)
		return -ENOMEM;
	*out = file_create(&timerfd_ops, O_RDWR | (flags & O_NONBLOCK), t);
	if (!*out) {
		kfree(t);
		return -ENOMEM;
	}
	return 0;
}

void
timerfd_register(void)
{
	file_persist_register(&timerfd_ops);
}

/* --- setting --- */

/* => t->lock held. */
static void
fill_setting(const struct timerfd *t, struct timerfd_setting *out)
{
	ns_t now = timerfd_now(t), next = t->expires;

	out->interval = t->interval;
	out->value = 0;
	if (next == 0)
		return;
	if (t->expired && t->interval > 0 && next <= now)
		next += ((now - next) / t->interval + 1) * t->interval;
	if (next > now)
		out->value = next - now;
	else if (!t->expired)
		out->value = 1; /* due this instant, but not disarmed */
}

/* => t->lock held; the kernel timer is not pending. */
static void
arm(struct timerfd *t, int flags, const struct timerfd_setting *s)
{
	t->flags = flags;
	t->interval = s->interval;
	t->expired = t->clock_set = false;
	t->ticks = 0;
	t->expires = s->value;
	if (s->value == 0)
		return;
	if (!(flags & TFD_TIMER_ABSTIME))
		t->expires =
			s->value > NS_FOREVER - clock_now() ? NS_FOREVER : clock_now() + s->value;
	start(t);
}

static struct timerfd *
timerfd_of(struct file *f)
{
	return f->ops == &timerfd_ops ? f->private : NULL;
}

int
timerfd_set(struct file *f, int flags, const struct timerfd_setting *s, struct timerfd_setting *old)
{
	struct timerfd *t = timerfd_of(f);
	struct ipc *ipc = ipc_root();

	if (!t)
		return -EINVAL;
	mutex_lock(&t->setting);
	timer_cancel(&t->timer);
	spin_lock(&ipc->lock);
	spin_lock(&t->lock);
	fill_setting(t, old);
	/* A read in between may have started the next period: then its timer is the one we replace.
	 */
	arm(t, flags, s);
	list_del(&t->link);
	if (is_real_absolute(t))
		list_add_tail(&ipc->clock_timers, &t->link);
	spin_unlock(&t->lock);
	spin_unlock(&ipc->lock);
	if (s->value == 0)
		timer_cancel(&t->timer);
	mutex_unlock(&t->setting);
	return 0;
}

int
timerfd_get(struct file *f, struct timerfd_setting *out)
{
	struct timerfd *t = timerfd_of(f);

	if (!t)
		return -EINVAL;
	spin_lock(&t->lock);
	catch_up(t);
	fill_setting(t, out);
	spin_unlock(&t->lock);
	return 0;
}

void
timerfd_clock_was_set(void)
{
	struct ipc *ipc = ipc_root();
	struct timerfd *t;

	spin_lock(&ipc->lock);
	list_for_each_entry (t, &ipc->clock_timers, link) {
		spin_lock(&t->lock);
		if (t->flags & TFD_TIMER_CANCEL_ON_SET) {
			t->clock_set = true;
			waitq_wake_events(&t->readers, ~0u, POLL_IN);
		}
		spin_unlock(&t->lock);
	}
	spin_unlock(&ipc->lock);
}

/*
 * The kernel log: see klog.h. A ring of records per core; a machine-wide sequence number orders
 * them for readers. Before core structures exist lines go straight to the 16550.
 *
 * Locks: each ring's own (rank RANK_LOG), then klog_shared->console_lock for output.
 */
#include "core/klog.h"
#include "arch/clock.h"
#include "arch/cpu.h"
#include "core/core.h"
#include "core/klog_ring.h"
#include "lib/atomic.h"
#include "lib/format.h"
#include "lib/string.h"

#define MSR_GS_BASE 0xc0000101
#define LINE_MAX    256
#define COM1	    0x3f8
#define COM2	    0x2f8

static void
uart_put(u16 port, char c)
{
	/* Bounded: a machine without this UART reads 0xff, which says "empty". */
	for (int spin = 0; spin < 100000 && !(inb(port + 5) & 0x20); spin++)
		cpu_pause();
	outb(port, (u8)c);
}

void
console_early_write(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (s[i] == '\n')
			uart_put(COM1, '\r');
		uart_put(COM1, s[i]);
	}
}

void
control_early_write(const char *s, size_t n)
{
	outb(COM2 + 7, 0x5a); /* the scratch register keeps a value if there is a 16550 */
	if (inb(COM2 + 7) != 0x5a)
		return;
	for (size_t i = 0; i < n; i++)
		uart_put(COM2, s[i]);
}

static void
console_line(struct klog_shared *k, const char *s, size_t n)
{
	if (!k) {
		console_early_write(s, n);
		return;
	}
	spin_lock(&k->console_lock);
	if (k->write)
		k->write(s, n);
	else
		console_early_write(s, n);
	spin_unlock(&k->console_lock);
}

static u32
record_size(u32 text)
{
	return ALIGN_UP((u32)offsetof(struct klog_record, text) + text, 8u);
}

static void
ring_store(struct core *c, struct klog_shared *k, enum klog_level level, ns_t now, const char *s,
	   u32 n)
{
	struct klog_ring *r = c->klog;
	u32 need = record_size(n);

	spin_lock(&r->lock);
	if (r->head % KLOG_RING + need > KLOG_RING)
		r->head += KLOG_RING - r->head % KLOG_RING; /* a record is not split */
	*(struct klog_record *)(r->data + r->head % KLOG_RING) = (struct klog_record){
		.seq = atomic_add_fetch(&k->seq, 1), .ns = now, .len = (u16)n, .level = (u8)level};
	memcpy(((struct klog_record *)(r->data + r->head % KLOG_RING))->text, s, n);
	r->head += need;
	((struct klog_record *)(r->data + r->head % KLOG_RING))->seq = 0; /* the end for readers */
	spin_unlock(&r->lock);
}

void
klog(enum klog_level level, const char *subsystem, const char *fmt, ...)
{
	bool early = rdmsr(MSR_GS_BASE) == 0 || !this_core()->klog;
	struct klog_shared *k = early ? NULL : machine()->klog;
	ns_t now = early ? 0 : clock_now();
	char line[LINE_MAX];
	va_list ap;
	int n, text;

	n = format(line, sizeof(line), "[%5lld.%06lld] %s: ", (long long)(now / NS_PER_SEC),
		   (long long)(now % NS_PER_SEC / NS_PER_US), subsystem);
	text = n - (int)strlen(subsystem) - 2;
	va_start(ap, fmt);
	n += format_v(line + n, sizeof(line) - (size_t)n - 1, fmt, ap);
	va_end(ap);
	n = min(n, LINE_MAX - 2);
	line[n++] = '\n';
	if (k)
		ring_store(this_core(), k, level, now, line + text, (u32)(n - text));
	if (level <= (k ? k->shown : KLOG_BOOT))
		console_line(k, line, (size_t)n);
}

void
klog_set_console(void (*write)(const char *s, size_t n))
{
	machine()->klog->write = write;
}

void
klog_set_level(enum klog_level shown)
{
	machine()->klog->shown = shown;
}

/* The record with the smallest sequence number >= seq in r; NULL. => r->lock held. */
static struct klog_record *
ring_find(struct klog_ring *r, u64 seq)
{
	struct klog_record *best = NULL;
	u32 at = 0;

	/* From the start of the buffer: each lap begins there, stale tails end at seq 0 or the
	 * edge. */
	while (at + sizeof(struct klog_record) <= KLOG_RING) {
		struct klog_record *rec = (struct klog_record *)(r->data + at);

		if (rec->seq == 0)
			break;
		if (rec->seq >= seq && (!best || rec->seq < best->seq))
			best = rec;
		at += record_size(rec->len);
	}
	return best;
}

size_t
klog_read(char *buf, size_t size, u64 *seq)
{
	struct machine *m = machine();
	size_t done = 0;

	for (;;) {
		struct klog_ring *from = NULL;
		u64 least = ~0UL;
		size_t n = 0;
		char line[LINE_MAX + 32];

		for (u32 i = 0; i < m->ncores; i++) {
			struct klog_ring *r = m->core[i]->klog;
			struct klog_record *rec;

			spin_lock(&r->lock);
			rec = ring_find(r, *seq + 1);
			if (rec && rec->seq < least) {
				least = rec->seq;
				from = r;
				n = (size_t)format(line, sizeof(line), "<%u>[%5lld.%06lld] %.*s",
						   rec->level, (long long)(rec->ns / NS_PER_SEC),
						   (long long)(rec->ns % NS_PER_SEC / NS_PER_US),
						   rec->len, rec->text);
			}
			spin_unlock(&r->lock);
		}
		if (!from || done + n > size)
			return done;
		memcpy(buf + done, line, n);
		done += n;
		*seq = least;
	}
}

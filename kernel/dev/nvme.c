/*
 * NVMe (NVM Express base specification 1.4): the first namespace of a controller as disk nvme0n1.
 *
 * One pair of queues for administration, polled while the driver starts, and one for input and
 * output with an interrupt. A request takes a slot, whose number is the command's identifier, with
 * a page for the list of its memory's pages; what finds no slot waits in a list. A controller that
 * does not answer is disabled, which ends all it had, and begins anew with empty queues.
 */
#include <asm/errno.h>
#include "arch/clock.h"
#include "arch/cpu.h"
#include "cluster/cluster.h"
#include "core/klog.h"
#include "dev/block.h"
#include "dev/driver.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/frame.h"
#include "mm/slab.h"

#define NVME_MAJOR   259u
#define NVME_SLOTS   32u
#define NVME_ENTRIES 64u     /* of a queue: a page of commands */
#define NVME_QUEUES  2u	     /* administration; input and output */
#define NVME_REGS    0x1000u /* without the doorbells behind them */
#define ADMIN_WAIT   (5 * NS_PER_SEC)

/* Registers, by bytes. */
#define REG_CAP	 0x00
#define REG_CC	 0x14
#define REG_CSTS 0x1c
#define REG_AQA	 0x24
#define REG_ASQ	 0x28
#define REG_ACQ	 0x30
#define CC_RUN	 (6u << 16 | 4u << 20 | 1u) /* entries of 64 and 16 bytes, enabled */
#define CSTS_RDY 1u
#define CSTS_CFS 2u

#define ADMIN_CREATE_SQ 0x01u
#define ADMIN_CREATE_CQ 0x05u
#define ADMIN_IDENTIFY	0x06u
#define IO_FLUSH	0x00u
#define IO_WRITE	0x01u
#define IO_READ		0x02u

struct nvme_command {
	u8 opcode, flags;
	u16 id;
	u32 nsid;
	u64 zero, metadata;
	u64 prp[2];
	u32 dw[6]; /* 10 to 15 */
};

struct nvme_completion {
	u32 result, zero;
	u16 sq_head, sq_id;
	u16 id;
	u16 status; /* bit 0: the phase */
};

_Static_assert(sizeof(struct nvme_command) == 64, "NVMe 1.4, 4.2");
_Static_assert(sizeof(struct nvme_completion) == 16, "NVMe 1.4, 4.6");

struct nvme_queue {
	volatile struct nvme_command *sq;
	volatile struct nvme_completion *cq;
	u16 tail, head;
	u16 phase;
	unsigned id;
};

struct nvme {
	volatile u8 *regs;
	u32 stride;		     /* bytes between doorbells */
	struct nvme_queue admin, io; /* io: [lock] */
	struct chdev *chdev;	     /* [I] */
	struct spinlock lock;
	struct block_request *slot[NVME_SLOTS]; /* [lock] */
	u64 *list[NVME_SLOTS];			/* [I] pages of a slot's memory */
	struct list waiting;			/* [lock] */
	bool stopped;				/* [lock] being reset: it gets nothing */
	bool dead;				/* [lock] it was given up */
	struct pci_device *pci;			/* [I] */
	unsigned lba_shift;			/* [I] */
	bool bound;				/* [I] its interrupt leads here */
	struct block_device disk;
};

static u32
reg_read(struct nvme *n, unsigned reg)
{
	return *(volatile u32 *)(n->regs + reg);
}

static void
reg_write(struct nvme *n, unsigned reg, u32 v)
{
	*(volatile u32 *)(n->regs + reg) = v;
}

static void
reg_write64(struct nvme *n, unsigned reg, u64 v)
{
	reg_write(n, reg, (u32)v);
	reg_write(n, reg + 4, (u32)(v >> 32));
}

static void
ring(struct nvme *n, unsigned queue, bool completion, u16 v)
{
	reg_write(n, NVME_REGS + (2 * queue + completion) * n->stride, v);
}

static int
queue_memory(struct nvme_queue *q, unsigned id, unsigned cxy)
{
	struct frame *sq = frame_alloc_on(cxy, 0, FRAME_ZERO);
	struct frame *cq = frame_alloc_on(cxy, 0, FRAME_ZERO);

	if (!sq || !cq) {
		if (sq)
			frame_free(sq, 0);
		if (cq)
			frame_free(cq, 0);
		return -ENOMEM;
	}
	*q = (struct nvme_queue){.sq = frame_virt(sq), .cq = frame_virt(cq), .phase = 1, .id = id};
	return 0;
}

static void
queue_put(struct nvme_queue *q, const struct nvme_command *c)
{
	q->sq[q->tail] = *c;
	q->tail = (u16)((q->tail + 1u) % NVME_ENTRIES);
}

/* The controller is told of what was put. */
static void
queue_tell(struct nvme *n, const struct nvme_queue *q)
{
	compiler_barrier();
	ring(n, q->id, false, q->tail);
}

/* The next completion, if there is one. */
static bool
queue_get(struct nvme *n, struct nvme_queue *q, struct nvme_completion *c)
{
	if ((atomic_load(&q->cq[q->head].status) & 1) != q->phase)
		return false;
	c->id = q->cq[q->head].id;
	c->status = q->cq[q->head].status;
	q->head = (u16)((q->head + 1u) % NVME_ENTRIES);
	if (q->head == 0)
		q->phase ^= 1;
	ring(n, q->id, true, q->head);
	return true;
}

/* ---- requests ---- */

/* Where the memory is: the first page, and the second or a list of all others. */
static void
set_memory(struct nvme *n, struct nvme_command *c, const struct block_request *r, unsigned slot)
{
	u64 *list = n->list[slot];
	unsigned pages = 0;

	c->prp[0] = r->seg[0].addr;
	for (u32 i = 0; i < r->segs; i++) {
		paddr_t at = r->seg[i].addr, end = at + r->seg[i].len;

		for (at = i > 0 ? at : ALIGN_DOWN(at, PAGE_SIZE) + PAGE_SIZE; at < end;
		     at += PAGE_SIZE)
			list[pages++] = at;
	}
	c->prp[1] = pages == 0 ? 0 : pages == 1 ? list[0] : virt_to_phys(list);
}

/* => n->lock held */
static bool
start_request(struct nvme *n, struct block_request *r)
{
	struct nvme_command c = {.nsid = 1};
	unsigned slot = 0;
	u64 lba = r->sector >> (n->lba_shift - 9);

	while (slot < NVME_SLOTS && n->slot[slot])
		slot++;
	if (slot == NVME_SLOTS || n->stopped)
		return false;
	c.id = (u16)slot;
	c.opcode = r->op == BLOCK_READ ? IO_READ : r->op == BLOCK_WRITE ? IO_WRITE : IO_FLUSH;
	if (r->op != BLOCK_FLUSH) {
		set_memory(n, &c, r, slot);
		c.dw[0] = (u32)lba;
		c.dw[1] = (u32)(lba >> 32);
		c.dw[2] = (r->bytes >> n->lba_shift) - 1;
	}
	n->slot[slot] = r;
	queue_put(&n->io, &c);
	return true;
}

/* => n->lock held */
static void
start_waiting(struct nvme *n)
{
	struct block_request *r, *next;
	u16 tail = n->io.tail;

	list_for_each_entry_safe (r, next, &n->waiting, link) {
		if (!start_request(n, r))
			break;
		list_del(&r->link);
	}
	if (n->io.tail != tail)
		queue_tell(n, &n->io);
}

static void
nvme_submit(struct block_device *d, struct list *requests)
{
	struct nvme *n = container_of(d, struct nvme, disk);
	struct block_request *r, *next;

	spin_lock(&n->lock);
	if (!n->dead) {
		list_splice_tail(&n->waiting, requests);
		start_waiting(n);
	}
	spin_unlock(&n->lock);
	list_for_each_entry_safe (r, next, requests, link) {
		list_del(&r->link);
		block_end(d, r, -EIO);
	}
}

static void
nvme_interrupt(void *arg)
{
	struct nvme *n = arg;
	struct nvme_completion c;
	struct block_request *r, *next;
	struct list done;

	chdev_interrupted(n->chdev);
	list_init(&done);
	spin_lock(&n->lock);
	while (!n->stopped && queue_get(n, &n->io, &c)) {
		if (c.id >= NVME_SLOTS || !n->slot[c.id])
			continue;
		r = n->slot[c.id];
		n->slot[c.id] = NULL;
		r->status = c.status >> 1 != 0;
		list_add_tail(&done, &r->link);
	}
	start_waiting(n);
	spin_unlock(&n->lock);
	list_for_each_entry_safe (r, next, &done, link) {
		list_del(&r->link);
		block_end(&n->disk, r, r->status ? -EIO : 0);
	}
}

/* ---- start ---- */

/* One command of administration, polled. 0, -EIO, -ETIMEDOUT. */
static int
admin(struct nvme *n, const struct nvme_command *c)
{
	ns_t deadline = clock_now() + ADMIN_WAIT;
	struct nvme_completion done;

	queue_put(&n->admin, c);
	queue_tell(n, &n->admin);
	while (!queue_get(n, &n->admin, &done)) {
		if (clock_now() > deadline)
			return -ETIMEDOUT;
		cpu_pause();
	}
	return done.status >> 1 ? -EIO : 0;
}

static int
wait_ready(struct nvme *n, u32 ready)
{
	u64 limit_500ms = reg_read(n, REG_CAP) >> 24;
	ns_t deadline = clock_now() + (ns_t)(limit_500ms + 1) * (NS_PER_SEC / 2);

	while ((reg_read(n, REG_CSTS) & CSTS_RDY) != ready) {
		if (clock_now() > deadline || (ready && (reg_read(n, REG_CSTS) & CSTS_CFS)))
			return -ETIMEDOUT;
		cpu_pause();
	}
	return 0;
}

static int
controller_start(struct nvme *n)
{
	int err;

	reg_write(n, REG_CC, 0);
	err = wait_ready(n, 0);
	if (err)
		return err;
	reg_write(n, REG_AQA, (NVME_ENTRIES - 1) << 16 | (NVME_ENTRIES - 1));
	reg_write64(n, REG_ASQ, virt_to_phys((const void *)n->admin.sq));
	reg_write64(n, REG_ACQ, virt_to_phys((const void *)n->admin.cq));
	reg_write(n, REG_CC, CC_RUN);
	return wait_ready(n, CSTS_RDY);
}

static int
identify(struct nvme *n, u32 nsid, u32 what, void *page)
{
	struct nvme_command c = {.opcode = ADMIN_IDENTIFY, .nsid = nsid};

	c.prp[0] = virt_to_phys(page);
	c.dw[0] = what;
	return admin(n, &c);
}

/* Sizes and limits, from the controller's and the namespace's pages. */
static int
describe(struct nvme *n, u8 *page)
{
	struct block_device *d = &n->disk;
	u64 blocks;
	u32 format_;
	unsigned longest;
	int err = identify(n, 0, 1, page);

	if (err)
		return err;
	longest = page[77]; /* MDTS: a power of two of pages */
	d->volatile_cache = page[525] & 1;
	d->segs_max = BLOCK_SEGS_MAX;
	d->by_pages = true;
	d->bytes_max = (u32)PAGE_SIZE << (longest == 0 || longest > 7 ? 7 : longest);
	d->seg_max = d->bytes_max;
	err = identify(n, 1, 0, page);
	if (err)
		return err;
	memcpy(&blocks, page, sizeof(blocks));
	memcpy(&format_, page + 128 + 4ul * (page[26] & 15), sizeof(format_));
	n->lba_shift = format_ >> 16 & 0xff;
	if (blocks == 0 || n->lba_shift < 9 || n->lba_shift > PAGE_SHIFT || (format_ & 0xffff))
		return -ENODEV;
	d->sectors = blocks << (n->lba_shift - 9);
	d->sector_bytes = 1u << n->lba_shift;
	return 0;
}

static int
create_queues(struct nvme *n)
{
	struct nvme_command cq = {.opcode = ADMIN_CREATE_CQ}, sq = {.opcode = ADMIN_CREATE_SQ};
	int err;

	cq.prp[0] = virt_to_phys((const void *)n->io.cq);
	cq.dw[0] = (NVME_ENTRIES - 1) << 16 | 1;
	cq.dw[1] = 2 | 1; /* interrupt entry 0, in one piece */
	sq.prp[0] = virt_to_phys((const void *)n->io.sq);
	sq.dw[0] = (NVME_ENTRIES - 1) << 16 | 1;
	sq.dw[1] = 1 << 16 | 1;
	err = admin(n, &cq);
	return err ? err : admin(n, &sq);
}

/* What the controller had, in `had`; its queues are as new. => it is disabled */
static void
take_back(struct nvme *n, struct list *had)
{
	struct nvme_queue *q[] = {&n->admin, &n->io};

	spin_lock(&n->lock);
	for (unsigned i = 0; i < NVME_SLOTS; i++) {
		if (n->slot[i])
			list_add_tail(had, &n->slot[i]->link);
		n->slot[i] = NULL;
	}
	for (unsigned i = 0; i < 2; i++) {
		memset((void *)q[i]->sq, 0, PAGE_SIZE);
		memset((void *)q[i]->cq, 0, PAGE_SIZE);
		q[i]->tail = q[i]->head = 0;
		q[i]->phase = 1;
	}
	spin_unlock(&n->lock);
}

static int
nvme_reset(struct block_device *d, struct list *had)
{
	struct nvme *n = container_of(d, struct nvme, disk);
	int err;

	spin_lock(&n->lock);
	n->stopped = true;
	spin_unlock(&n->lock);
	reg_write(n, REG_CC, 0);
	err = wait_ready(n, 0);
	if (err)
		pci_silence(n->pci);
	take_back(n, had);
	if (!err)
		err = controller_start(n);
	if (!err)
		err = create_queues(n);
	spin_lock(&n->lock);
	n->stopped = false;
	n->dead = err != 0;
	if (err)
		list_splice_tail(had, &n->waiting);
	else
		start_waiting(n);
	spin_unlock(&n->lock);
	return err;
}

static const struct block_ops nvme_ops = {.submit = nvme_submit, .reset = nvme_reset};

static int
memory(struct nvme *n, unsigned cxy)
{
	int err = queue_memory(&n->admin, 0, cxy);

	if (!err)
		err = queue_memory(&n->io, 1, cxy);
	for (unsigned i = 0; i < NVME_SLOTS && !err; i++) {
		struct frame *f = frame_alloc_on(cxy, 0, FRAME_ZERO);

		n->list[i] = f ? frame_virt(f) : NULL;
		err = f ? 0 : -ENOMEM;
	}
	return err;
}

static void
release(struct nvme *n)
{
	struct nvme_queue *q[] = {&n->admin, &n->io};

	for (unsigned i = 0; i < 2; i++) {
		if (!q[i]->sq)
			continue;
		frame_free(frame_of_virt((void *)q[i]->sq), 0);
		frame_free(frame_of_virt((void *)q[i]->cq), 0);
	}
	for (unsigned i = 0; i < NVME_SLOTS; i++)
		if (n->list[i])
			frame_free(frame_of_virt(n->list[i]), 0);
	kfree(n);
}

static int
bring_up(struct nvme *n, struct pci_device *d)
{
	struct chdev *c = chdev_create("disk", d);
	int err = c ? memory(n, c->cxy) : -ENOMEM;

	if (!err)
		err = controller_start(n);
	n->chdev = c;
	if (!err) /* slot 0's page serves for what the controller says */
		err = describe(n, (u8 *)n->list[0]);
	if (!err)
		err = pci_irq_request(d, 0, c->core, nvme_interrupt, n);
	/* A queue's interrupt entry has to be there when the queue is made. */
	n->bound = err == 0;
	return err ? err : create_queues(n);
}

static int
nvme_probe(struct pci_device *d)
{
	struct nvme *n = kzalloc(sizeof(*n));
	unsigned index = block_count(NVME_MAJOR);
	int err;

	if (!n)
		return -ENOMEM;
	pci_enable(d);
	spin_init(&n->lock, "nvme", RANK_NONE);
	list_init(&n->waiting);
	n->regs = pci_map_bar(d, 0, 0, NVME_REGS);
	if (!n->regs) {
		kfree(n);
		return -ENXIO;
	}
	n->stride = 4u << (reg_read(n, REG_CAP + 4) & 15);
	if (!pci_map_bar(d, 0, NVME_REGS, 2ul * NVME_QUEUES * n->stride)) {
		kfree(n);
		return -ENOMEM;
	}
	err = bring_up(n, d);
	if (err) {
		reg_write(n, REG_CC, 0);
		if (wait_ready(n, 0) == 0 && !n->bound)
			release(n); /* else somebody may still come to them */
		return err;
	}
	format(n->disk.name, sizeof(n->disk.name), "nvme%un1", index);
	n->disk.major = NVME_MAJOR;
	n->disk.minor = index;
	n->disk.ops = &nvme_ops;
	n->pci = d;
	d->driver_data = n;
	err = block_register(&n->disk);
	if (err)
		return err; /* its queues stay */
	klog(KLOG_BOOT, "nvme", "%s: %lu MiB%s", n->disk.name, n->disk.sectors >> 11,
	     n->disk.volatile_cache ? "" : ", write-through");
	return 0;
}

static bool
nvme_match(const struct pci_device *d)
{
	return d->class_code == 1 && d->subclass == 8 && d->prog_if == 2;
}

extern const struct driver nvme_driver;
const struct driver nvme_driver = {
	.name = "nvme",
	.stage = 2,
	.match = nvme_match,
	.probe = nvme_probe,
};

/*
 * AHCI (Serial ATA AHCI 1.3.1): the disks on a controller's ports, as sda, sdb, ...
 *
 * A port does one command at a time, in slot 0; the others wait in a list. So an error says which
 * command it was. After one the port stands still until the disk's thread has brought it back as
 * 6.2.2.1 asks; so it does with a disk that does not answer. A port's memory is one page: the list
 * of commands, the received frames, and the table of the one command.
 */
#include <asm/errno.h>
#include "arch/clock.h"
#include "arch/cpu.h"
#include "cluster/cluster.h"
#include "core/klog.h"
#include "core/waitq.h"
#include "dev/block.h"
#include "dev/driver.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/frame.h"
#include "mm/slab.h"

#define AHCI_MAJOR  8u
#define AHCI_MINORS 16u /* of a disk, its partitions included */
#define AHCI_PORTS  32u
#define STOP_WAIT   (NS_PER_SEC / 2)
#define SELF_WAIT   (10 * NS_PER_SEC) /* for a disk to say what it is */

/* Registers of the controller, and of a port. */
#define HBA_CAP	    0x00
#define HBA_GHC	    0x04
#define HBA_IS	    0x08
#define HBA_PI	    0x0c
#define GHC_ENABLE  (1u << 31)
#define GHC_INTR    2u
#define CAP_64BIT   (1u << 31)
#define PORT(n)	    (0x100u + 0x80u * (n))
#define PORT_CLB    0x00
#define PORT_FB	    0x08
#define PORT_IS	    0x10
#define PORT_IE	    0x14
#define PORT_CMD    0x18
#define PORT_TFD    0x20
#define PORT_SIG    0x24
#define PORT_SSTS   0x28
#define PORT_SCTL   0x2c
#define PORT_SERR   0x30
#define PORT_CI	    0x38
#define CMD_START   1u
#define CMD_FIS	    (1u << 4)
#define CMD_FIS_ON  (1u << 14)
#define CMD_RUNNING (1u << 15)
#define TFD_ERROR   1u
#define TFD_BUSY    0x88u
#define IS_ERRORS   0x7c000000u /* fatal ones: bus, interface, the task file */
#define IS_DONE	    0x0000000fu /* a frame came */
#define SIG_DISK    0x00000101u
#define AHCI_SEGS   64u /* of a command: its table fits beside the rest */
#define DETECT	    15u /* of SSTS and SCTL */
#define DETECTED    3u
#define DETECT_INIT 1u

#define ATA_READ     0x25u
#define ATA_WRITE    0x35u
#define ATA_FLUSH    0xeau
#define ATA_IDENTIFY 0xecu

struct ahci_table { /* of one command */
	u8 fis[64];
	u8 atapi[16];
	u8 zero[48];
	struct {
		u64 addr;
		u32 reserved;
		u32 last; /* bytes - 1 */
	} prd[AHCI_SEGS];
};

struct ahci_memory { /* a page */
	struct {
		u16 flags, prds;
		u32 bytes;
		u64 table;
		u32 zero[4];
	} command[32];
	u8 received[256];
	u8 gap[768];
	struct ahci_table table;
	u8 identity[512];
};

_Static_assert(offsetof(struct ahci_memory, received) % 256 == 0, "AHCI 1.3.1, 3.3.3");
_Static_assert(offsetof(struct ahci_memory, table) % 128 == 0, "AHCI 1.3.1, 4.2.2");
_Static_assert(sizeof(struct ahci_memory) <= PAGE_SIZE, "one page");

struct ahci;

struct ahci_port {
	struct ahci *hba; /* [I] */
	unsigned number;  /* [I] */
	struct ahci_memory *mem;
	struct spinlock lock;
	struct block_request *now; /* [lock] that the disk works at */
	struct list waiting;	   /* [lock] */
	bool failed;		   /* [lock] `now` met an error: the port has stopped */
	bool stopped;		   /* [lock] it is being brought back: nothing is given to it */
	bool dead;		   /* [lock] it was given up */
	struct block_device disk;
};

struct ahci {
	volatile u8 *regs;
	struct ahci_port *port[AHCI_PORTS]; /* [I] once interrupts are on */
	struct chdev *chdev;		    /* [I] the same */
};

static volatile u32 *
hba_reg(struct ahci *h, unsigned reg)
{
	return (volatile u32 *)(h->regs + reg);
}

static volatile u32 *
port_reg(struct ahci_port *p, unsigned reg)
{
	return hba_reg(p->hba, PORT(p->number) + reg);
}

/* Polls until the bits are gone (or there). 0 or -ETIMEDOUT. */
static int
port_wait(struct ahci_port *p, unsigned reg, u32 bits, u32 want, ns_t limit)
{
	ns_t deadline = clock_now() + limit;

	while ((*port_reg(p, reg) & bits) != want) {
		if (clock_now() > deadline)
			return -ETIMEDOUT;
		cpu_pause();
	}
	return 0;
}

/* Takes no more commands; still receives frames. */
static int
port_halt(struct ahci_port *p)
{
	*port_reg(p, PORT_CMD) &= ~CMD_START;
	return port_wait(p, PORT_CMD, CMD_RUNNING, 0, STOP_WAIT);
}

static int
port_stop(struct ahci_port *p)
{
	int err = port_halt(p);

	if (err)
		return err;
	*port_reg(p, PORT_CMD) &= ~CMD_FIS;
	return port_wait(p, PORT_CMD, CMD_FIS_ON, 0, STOP_WAIT);
}

static void
port_start(struct ahci_port *p)
{
	*port_reg(p, PORT_SERR) = ~0u;
	*port_reg(p, PORT_IS) = ~0u;
	*port_reg(p, PORT_CMD) |= CMD_FIS;
	*port_reg(p, PORT_CMD) |= CMD_START;
}

/* A reset of the link (10.4.2): the disk forgets what it did. */
static int
port_reset_link(struct ahci_port *p)
{
	u32 control = *port_reg(p, PORT_SCTL) & ~DETECT;

	*port_reg(p, PORT_SCTL) = control | DETECT_INIT;
	(void)!sleep_until(clock_now() + 2 * NS_PER_MS, 0);
	*port_reg(p, PORT_SCTL) = control;
	return port_wait(p, PORT_SSTS, DETECT, DETECTED, NS_PER_SEC);
}

/* From whatever state it is in to one that takes commands (6.2.2.1). Without an error that ended
 * its command the disk still works at it, and has to be told. => the disk's thread */
static int
port_recover(struct ahci_port *p, bool ended)
{
	int err = port_halt(p);

	if (err || !ended || (*port_reg(p, PORT_TFD) & TFD_BUSY))
		err = port_reset_link(p);
	if (err)
		return err;
	port_start(p);
	return port_wait(p, PORT_TFD, TFD_BUSY, 0, SELF_WAIT);
}

/* ---- commands ---- */

/* Begins a command on 48-bit addresses over the table's memory. */
static void
issue(struct ahci_port *p, u8 command, u64 lba, u32 sectors, unsigned prds, bool write)
{
	u8 *fis = p->mem->table.fis;

	memset(fis, 0, sizeof(p->mem->table.fis));
	fis[0] = 0x27; /* from host to device */
	fis[1] = 0x80; /* a command */
	fis[2] = command;
	for (unsigned i = 0; i < 3; i++) {
		fis[4 + i] = (u8)(lba >> (8 * i));
		fis[8 + i] = (u8)(lba >> (24 + 8 * i));
	}
	fis[7] = command == ATA_IDENTIFY ? 0 : 0x40;
	fis[12] = (u8)sectors;
	fis[13] = (u8)(sectors >> 8);
	p->mem->command[0].flags = (u16)(5 | (write ? 1u << 6 : 0));
	p->mem->command[0].prds = (u16)prds;
	p->mem->command[0].bytes = 0;
	p->mem->command[0].table = virt_to_phys(&p->mem->table);
	compiler_barrier();
	*port_reg(p, PORT_CI) = 1;
}

static void
set_memory(struct ahci_port *p, unsigned i, paddr_t addr, u32 len)
{
	p->mem->table.prd[i].addr = addr;
	p->mem->table.prd[i].reserved = 0;
	p->mem->table.prd[i].last = len - 1;
}

/* => p->lock held, nothing under way */
static void
start_next(struct ahci_port *p)
{
	struct block_request *r;
	u32 bytes = 0, sector = p->disk.sector_bytes;

	if (p->now || p->stopped || list_empty(&p->waiting))
		return;
	r = list_first(&p->waiting, struct block_request, link);
	list_del(&r->link);
	p->now = r;
	for (u32 i = 0; i < r->segs; i++) {
		set_memory(p, i, r->seg[i].addr, r->seg[i].len);
		bytes += r->seg[i].len;
	}
	if (r->op == BLOCK_FLUSH)
		issue(p, ATA_FLUSH, 0, 0, 0, false);
	else
		issue(p, r->op == BLOCK_READ ? ATA_READ : ATA_WRITE,
		      r->sector / (sector / BLOCK_SECTOR), bytes / sector, r->segs,
		      r->op == BLOCK_WRITE);
}

static void
ahci_submit(struct block_device *d, struct list *requests)
{
	struct ahci_port *p = container_of(d, struct ahci_port, disk);
	struct block_request *r, *next;

	spin_lock(&p->lock);
	if (!p->dead) {
		list_splice_tail(&p->waiting, requests);
		start_next(p);
	}
	spin_unlock(&p->lock);
	list_for_each_entry_safe (r, next, requests, link) {
		list_del(&r->link);
		block_end(d, r, -EIO);
	}
}

static int
ahci_reset(struct block_device *d, struct list *had)
{
	struct ahci_port *p = container_of(d, struct ahci_port, disk);
	struct block_request *r;
	bool failed;
	int err;

	spin_lock(&p->lock);
	r = p->now;
	failed = p->failed;
	p->now = NULL;
	p->failed = false;
	p->stopped = true;
	spin_unlock(&p->lock);
	err = port_recover(p, failed || !r);
	if (r && failed)
		block_end(d, r, -EIO);
	else if (r)
		list_add_tail(had, &r->link);
	spin_lock(&p->lock);
	p->stopped = false;
	p->dead = err != 0;
	if (err)
		list_splice_tail(had, &p->waiting);
	else
		start_next(p);
	spin_unlock(&p->lock);
	return err;
}

/* What the port has to say: the command's end, good or bad. */
static void
port_interrupt(struct ahci_port *p)
{
	struct block_request *r = NULL;
	bool failed = false;
	u32 is;

	spin_lock(&p->lock);
	is = *port_reg(p, PORT_IS);
	*port_reg(p, PORT_IS) = is;
	if (p->now && !p->failed && (is & IS_ERRORS)) {
		p->failed = failed = true;
	} else if (p->now && !p->failed && !(*port_reg(p, PORT_CI) & 1)) {
		r = p->now;
		p->now = NULL;
		start_next(p);
	}
	spin_unlock(&p->lock);
	if (failed)
		block_needs_reset(&p->disk);
	if (r)
		block_end(&p->disk, r, 0);
}

static void
ahci_interrupt(void *arg)
{
	struct ahci *h = arg;
	u32 is = *hba_reg(h, HBA_IS);

	chdev_interrupted(h->chdev);
	for (unsigned i = 0; i < AHCI_PORTS; i++)
		if ((is >> i & 1) && h->port[i])
			port_interrupt(h->port[i]);
	*hba_reg(h, HBA_IS) = is;
}

static const struct block_ops ahci_ops = {.submit = ahci_submit, .reset = ahci_reset};

/* ---- start ---- */

static u64
identity_word(const struct ahci_port *p, unsigned word, unsigned words)
{
	u64 v = 0;

	memcpy(&v, p->mem->identity + 2ul * word, 2ul * words);
	return v;
}

/* Asks the disk what it is, polling. */
static int
identify(struct ahci_port *p)
{
	struct block_device *d = &p->disk;
	int err = port_wait(p, PORT_TFD, TFD_BUSY, 0, SELF_WAIT);

	if (err)
		return err;
	set_memory(p, 0, virt_to_phys(p->mem->identity), sizeof(p->mem->identity));
	issue(p, ATA_IDENTIFY, 0, 0, 1, false);
	err = port_wait(p, PORT_CI, 1, 0, SELF_WAIT);
	if (err || (*port_reg(p, PORT_TFD) & TFD_ERROR))
		return err ? err : -EIO;
	d->sector_bytes = BLOCK_SECTOR;
	if ((identity_word(p, 106, 1) & 0xd000) == 0x5000) /* longer sectors, in words of 16 bit */
		d->sector_bytes = (u32)identity_word(p, 117, 2) * 2;
	d->sectors = identity_word(p, 100, 4) * (d->sector_bytes / BLOCK_SECTOR);
	d->volatile_cache = identity_word(p, 85, 1) >> 5 & 1;
	d->segs_max = AHCI_SEGS;
	d->seg_max = 1u << 18; /* 32 of them fit the count of sectors */
	d->ops = &ahci_ops;
	return d->sectors == 0 || d->sector_bytes > PAGE_SIZE ? -ENODEV : 0;
}

static int
port_begin(struct ahci_port *p)
{
	int err = port_stop(p);
	paddr_t mem = virt_to_phys(p->mem);

	if (err)
		return err;
	port_reg(p, PORT_CLB)[0] = (u32)mem;
	port_reg(p, PORT_CLB)[1] = (u32)(mem >> 32);
	mem += offsetof(struct ahci_memory, received);
	port_reg(p, PORT_FB)[0] = (u32)mem;
	port_reg(p, PORT_FB)[1] = (u32)(mem >> 32);
	port_start(p);
	return identify(p);
}

/* A port with a disk on it. NULL: none, or one that does not answer. */
static struct ahci_port *
port_create(struct ahci *h, unsigned number)
{
	struct frame *f = frame_alloc(0, FRAME_ZERO);
	struct ahci_port *p = kzalloc(sizeof(*p));

	if (!p || !f)
		goto fail;
	p->hba = h;
	p->number = number;
	p->mem = frame_virt(f);
	spin_init(&p->lock, "ahci port", RANK_NONE);
	list_init(&p->waiting);
	if ((*port_reg(p, PORT_SSTS) & 15) != 3 || *port_reg(p, PORT_SIG) != SIG_DISK)
		goto fail;
	if (port_begin(p)) {
		klog(KLOG_WARN, "ahci", "the disk on port %u does not answer", number);
		if (port_stop(p))
			return NULL; /* it may still write there */
		goto fail;
	}
	return p;

fail:
	if (f)
		frame_free(f, 0);
	kfree(p);
	return NULL;
}

static void
port_announce(struct ahci_port *p)
{
	struct block_device *d = &p->disk;
	unsigned index = block_count(AHCI_MAJOR);

	format(d->name, sizeof(d->name), "sd%c", 'a' + (int)(index % 26));
	d->major = AHCI_MAJOR;
	d->minor = index * AHCI_MINORS;
	*port_reg(p, PORT_IS) = ~0u;
	*port_reg(p, PORT_IE) = IS_ERRORS | IS_DONE;
	if (block_register(d)) {
		klog(KLOG_WARN, "ahci", "no memory for %s", d->name);
		return;
	}
	klog(KLOG_BOOT, "ahci", "%s: %lu MiB%s", d->name, d->sectors >> 11,
	     d->volatile_cache ? "" : ", write-through");
}

static unsigned
ports_create(struct ahci *h)
{
	u32 implemented = *hba_reg(h, HBA_PI);
	unsigned found = 0;

	for (unsigned i = 0; i < AHCI_PORTS; i++) {
		if (!(implemented >> i & 1))
			continue;
		h->port[i] = port_create(h, i);
		found += h->port[i] != NULL;
	}
	return found;
}

static int
ahci_probe(struct pci_device *d)
{
	struct ahci *h = kzalloc(sizeof(*h));
	int err = -ENODEV;

	if (!h)
		return -ENOMEM;
	pci_enable(d);
	/* A controller may have less: then it says in PI that it has not the ports. */
	h->regs = pci_map_bar(d, 5, 0, PORT(AHCI_PORTS));
	if (!h->regs)
		goto fail;
	*hba_reg(h, HBA_GHC) |= GHC_ENABLE;
	if (!(*hba_reg(h, HBA_CAP) & CAP_64BIT) || ports_create(h) == 0)
		goto fail;
	/* From here on its ports are at work: nothing is given back. */
	h->chdev = chdev_create("disk", d);
	if (!h->chdev)
		return -ENOMEM;
	err = pci_irq_request(d, 0, h->chdev->core, ahci_interrupt, h);
	if (err)
		return err;
	for (unsigned i = 0; i < AHCI_PORTS; i++)
		if (h->port[i])
			port_announce(h->port[i]);
	*hba_reg(h, HBA_IS) = ~0u;
	*hba_reg(h, HBA_GHC) |= GHC_INTR;
	d->driver_data = h;
	return 0;

fail:
	kfree(h);
	return err;
}

static bool
ahci_match(const struct pci_device *d)
{
	return d->class_code == 1 && d->subclass == 6 && d->prog_if == 1;
}

extern const struct driver ahci_driver;
const struct driver ahci_driver = {
	.name = "ahci",
	.stage = 2,
	.match = ahci_match,
	.probe = ahci_probe,
};

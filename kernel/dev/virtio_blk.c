/*
 * virtio-blk (virtio 1.2, 5.2): disks vda, vdb, ... One queue; a request is its head, its memory
 * and a byte for the status, in one indirect table where the device has them. What finds the queue
 * full waits in a list and goes when something is finished.
 *
 * A device that breaks the ring's rules is reset and given up: what it has, and all that comes
 * after, ends with -EIO. One that does not answer is reset and begins anew with empty rings.
 */
#include <asm/errno.h>
#include <linux/virtio_blk.h>
#include "core/klog.h"
#include "dev/block.h"
#include "dev/virtio.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/slab.h"

#define QUEUE_SIZE 128u
#define BLK_MAJOR  254u
#define BLK_MINORS 16u /* of a disk, its partitions included */

struct virtio_blk {
	struct virtio_device vdev;
	struct block_device disk;
	struct chdev *chdev;	    /* [I] */
	struct virtio_queue *queue; /* [lock] */
	struct spinlock lock;
	struct list waiting; /* [lock] block_request.link: the queue had no room */
	struct vq_buf buf[BLOCK_SEGS_MAX + 2]; /* [lock] of the request that is being queued */
	bool stopped; /* [lock] it is being reset: nothing is given to it */
	bool dead;    /* [lock] it was given up */
};

_Static_assert(sizeof(struct block_driver_head) == sizeof(struct virtio_blk_outhdr), "virtio");

/* => b->lock held. 0, -ENOSPC, -EIO */
static int
queue_request(struct virtio_blk *b, struct block_request *r)
{
	struct vq_buf *bufs = b->buf;
	unsigned n = 0, nout;

	r->head = (struct block_driver_head){.sector = r->op == BLOCK_FLUSH ? 0 : r->sector};
	r->head.type = r->op == BLOCK_READ    ? VIRTIO_BLK_T_IN
		       : r->op == BLOCK_WRITE ? VIRTIO_BLK_T_OUT
					      : VIRTIO_BLK_T_FLUSH;
	r->status = VIRTIO_BLK_S_IOERR;
	bufs[n++] = (struct vq_buf){virt_to_phys(&r->head), sizeof(r->head)};
	for (u32 i = 0; i < r->segs; i++)
		bufs[n++] = (struct vq_buf){r->seg[i].addr, r->seg[i].len};
	nout = r->op == BLOCK_READ ? 1 : n;
	bufs[n++] = (struct vq_buf){virt_to_phys(&r->status), 1};
	return virtio_add(b->queue, bufs, nout, n - nout, r);
}

/* Gives the queue what waits for it, and takes out what it will never take. => b->lock held */
static void
queue_waiting(struct virtio_blk *b, struct list *refused)
{
	struct block_request *r, *next;
	int err;

	if (b->stopped)
		return;
	list_for_each_entry_safe (r, next, &b->waiting, link) {
		err = b->dead ? -EIO : queue_request(b, r);
		if (err == -ENOSPC)
			break;
		list_del(&r->link);
		if (err)
			list_add_tail(refused, &r->link);
	}
	virtio_kick(b->queue);
}

static int
result(const struct block_request *r)
{
	return r->status == VIRTIO_BLK_S_OK	  ? 0
	       : r->status == VIRTIO_BLK_S_UNSUPP ? -EOPNOTSUPP
						  : -EIO;
}

/* => no lock held */
static void
end_all(struct virtio_blk *b, struct list *done, bool refused)
{
	struct block_request *r, *next;

	list_for_each_entry_safe (r, next, done, link) {
		list_del(&r->link);
		block_end(&b->disk, r, refused ? -EIO : result(r));
	}
}

static void
blk_submit(struct block_device *d, struct list *requests)
{
	struct virtio_blk *b = container_of(d, struct virtio_blk, disk);
	struct list refused;

	list_init(&refused);
	spin_lock(&b->lock);
	list_splice_tail(&b->waiting, requests);
	queue_waiting(b, &refused);
	spin_unlock(&b->lock);
	end_all(b, &refused, true);
}

/* => b->lock held */
static void
give_up(struct virtio_blk *b, struct list *refused)
{
	struct block_request *r;

	virtio_fail(&b->vdev);
	while ((r = virtqueue_detach(&b->queue->vq)))
		list_add_tail(refused, &r->link);
}

static void
blk_interrupt(void *arg)
{
	struct virtio_blk *b = arg;
	struct list done, refused;
	struct block_request *r;
	u32 len;

	chdev_interrupted(b->chdev);
	list_init(&done);
	list_init(&refused);
	spin_lock(&b->lock);
	if (!b->stopped) {
		do {
			while ((r = virtqueue_get(&b->queue->vq, &len)))
				list_add_tail(&done, &r->link);
		} while (virtqueue_cb_on(&b->queue->vq) && !b->queue->vq.broken);
		if (b->queue->vq.broken && !b->dead)
			give_up(b, &refused);
		queue_waiting(b, &refused);
	}
	spin_unlock(&b->lock);
	end_all(b, &done, false);
	end_all(b, &refused, true);
}

/* What the device had: finished, or to be tried again. */
static void
take_back(struct virtio_blk *b, struct list *done, struct list *had)
{
	struct block_request *r;
	u32 len;

	spin_lock(&b->lock);
	while ((r = virtqueue_get(&b->queue->vq, &len)))
		list_add_tail(done, &r->link);
	while ((r = virtqueue_detach(&b->queue->vq)))
		list_add_tail(had, &r->link);
	spin_unlock(&b->lock);
}

static int
blk_reset(struct block_device *d, struct list *had)
{
	struct virtio_blk *b = container_of(d, struct virtio_blk, disk);
	struct list done, refused;
	int err;

	list_init(&done);
	list_init(&refused);
	spin_lock(&b->lock);
	b->stopped = true;
	spin_unlock(&b->lock);
	err = virtio_stop(&b->vdev);
	if (err)
		pci_silence(b->vdev.pci);
	take_back(b, &done, had);
	if (!err)
		err = virtio_restart(&b->vdev);
	spin_lock(&b->lock);
	b->stopped = false;
	b->dead = err != 0;
	if (!err)
		(void)virtqueue_cb_on(&b->queue->vq);
	queue_waiting(b, &refused);
	spin_unlock(&b->lock);
	end_all(b, &done, false);
	end_all(b, &refused, true);
	return err;
}

static const struct block_ops blk_ops = {.submit = blk_submit, .reset = blk_reset};

/* A field of the configuration, or what holds where the feature is not there. */
static u32
config_u32(struct virtio_blk *b, unsigned feature, unsigned offset, u32 without)
{
	u32 v = without;

	if (virtio_has(&b->vdev, feature))
		virtio_config_read(&b->vdev, offset, &v, sizeof(v));
	return v;
}

#define CONFIG(field) ((unsigned)offsetof(struct virtio_blk_config, field))

static void
describe(struct virtio_blk *b, unsigned index)
{
	struct block_device *d = &b->disk;

	virtio_config_read(&b->vdev, CONFIG(capacity), &d->sectors, sizeof(d->sectors));
	format(d->name, sizeof(d->name), "vd%c", 'a' + (int)(index % 26));
	d->major = BLK_MAJOR;
	d->minor = index * BLK_MINORS;
	d->sector_bytes = config_u32(b, VIRTIO_BLK_F_BLK_SIZE, CONFIG(blk_size), BLOCK_SECTOR);
	d->segs_max = config_u32(b, VIRTIO_BLK_F_SEG_MAX, CONFIG(seg_max), 1);
	d->segs_max = min(d->segs_max, b->queue->vq.size - 2u); /* virtio 1.2, 2.7.5.3.1 */
	d->seg_max = config_u32(b, VIRTIO_BLK_F_SIZE_MAX, CONFIG(size_max), 1u << 20);
	d->readonly = virtio_has(&b->vdev, VIRTIO_BLK_F_RO);
	d->volatile_cache = virtio_has(&b->vdev, VIRTIO_BLK_F_FLUSH);
	d->ops = &blk_ops;
}

/* Whether it is a disk that the block layer can use. */
static bool
usable(const struct block_device *d)
{
	return d->sector_bytes >= BLOCK_SECTOR && d->sector_bytes <= PAGE_SIZE &&
	       (d->sector_bytes & (d->sector_bytes - 1)) == 0 && d->segs_max > 0 &&
	       d->seg_max >= PAGE_SIZE;
}

static int
attach(struct virtio_blk *b, struct pci_device *d, struct chdev *c)
{
	u64 wanted = 1ul << VIRTIO_BLK_F_SEG_MAX | 1ul << VIRTIO_BLK_F_SIZE_MAX |
		     1ul << VIRTIO_BLK_F_RO | 1ul << VIRTIO_BLK_F_BLK_SIZE |
		     1ul << VIRTIO_BLK_F_FLUSH;
	struct virtio_queue_want want = {.max_size = QUEUE_SIZE,
					 .max_indirect = BLOCK_SEGS_MAX + 2,
					 .core = c->core,
					 .fn = blk_interrupt,
					 .arg = b};
	int err = virtio_pci_attach(d, &b->vdev);

	if (!err)
		err = virtio_negotiate(&b->vdev, wanted);
	if (!err)
		err = virtio_queue_setup(&b->vdev, 0, &want, &b->queue);
	return err;
}

static int
blk_probe(struct pci_device *d)
{
	struct chdev *c = chdev_create("disk", d);
	struct virtio_blk *b = c ? kzalloc_on(c->cxy, sizeof(*b)) : NULL;
	int err;

	if (!b)
		return -ENOMEM;
	b->chdev = c;
	spin_init(&b->lock, "virtio-blk", RANK_NONE);
	list_init(&b->waiting);
	err = attach(b, d, c);
	if (err)
		goto fail;
	describe(b, block_count(BLK_MAJOR));
	if (!usable(&b->disk)) {
		klog(KLOG_WARN, "blk", "%s: sectors of %u bytes, segments of %u: not used",
		     b->disk.name, b->disk.sector_bytes, b->disk.seg_max);
		virtio_fail(&b->vdev);
		return -ENODEV;
	}
	d->driver_data = b;
	virtio_ready(&b->vdev);
	spin_lock(&b->lock);
	(void)virtqueue_cb_on(&b->queue->vq);
	spin_unlock(&b->lock);
	if (block_register(&b->disk)) {
		virtio_fail(&b->vdev);
		return -ENOMEM;
	}
	klog(KLOG_BOOT, "blk", "%s: %lu MiB%s%s", b->disk.name, b->disk.sectors >> 11,
	     b->disk.readonly ? ", read-only" : "",
	     b->disk.volatile_cache ? "" : ", write-through");
	return 0;

fail:
	kfree(b);
	return err;
}

static bool
blk_match(const struct pci_device *d)
{
	return virtio_pci_is(d, VIRTIO_TYPE_BLOCK);
}

extern const struct driver virtio_blk_driver;
const struct driver virtio_blk_driver = {
	.name = "virtio-blk",
	.stage = 2,
	.match = blk_match,
	.probe = blk_probe,
};

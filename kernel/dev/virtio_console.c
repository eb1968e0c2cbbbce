/*
 * virtio-console (virtio 1.2, 5.3): the terminal hvc0, and /dev/console where the host gives one.
 * Much cheaper than a 16550 under an emulator: a write of any length leaves the guest once.
 *
 * Output is copied into one of TX_BUFS buffers; used ones are taken back at the next write. Only
 * when all are in use is an interrupt asked for, after which the terminal goes on. Kernel lines
 * take the same way, and wait for a buffer by polling. Locks: the tty's, then the device's (rank 0:
 * kernel lines come under the log's lock). Port 0 only: the multiport feature is not negotiated.
 */
#include <asm/errno.h>

#include "arch/cpu.h"
#include "core/core.h"
#include "core/klog.h"
#include "dev/tty_impl.h"
#include "dev/uart.h"
#include "dev/virtio.h"
#include "lib/string.h"
#include "mm/slab.h"

#define FEATURE_SIZE 0
#define QUEUE_RX     0
#define QUEUE_TX     1
#define TX_BUFS	     16
#define TX_BYTES     2048
#define RX_BUFS	     4
#define RX_BYTES     512
#define SPINS_MAX    100000000u /* polls for a buffer before kernel lines are dropped */

struct console_size {
	u16 cols, rows;
};

struct virtio_console {
	struct virtio_device vdev;
	struct chdev *chdev; /* [I] */
	struct spinlock lock;
	struct virtio_queue *rx, *tx; /* [lock] */
	struct tty *tty;	      /* [I] */
	char *tx_buf[TX_BUFS];	      /* [I] */
	char *tx_free[TX_BUFS];	      /* [lock] a stack */
	unsigned tx_nfree;	      /* [lock] */
	char *rx_buf[RX_BUFS];	      /* [I] */
	bool wants_room;	      /* [lock] the tty was told there is none */
	char last;		      /* [lock] last byte sent */
};

/* --- sending --- */

/* => c->lock held. */
static void
reclaim(struct virtio_console *c)
{
	char *buf;
	u32 len;

	while (c->tx_nfree < TX_BUFS && (buf = virtqueue_get(&c->tx->vq, &len)))
		c->tx_free[c->tx_nfree++] = buf;
}

/* => c->lock held. How many bytes went. */
static size_t
send(struct virtio_console *c, const char *s, size_t n)
{
	size_t done = 0;

	reclaim(c);
	while (done < n && c->tx_nfree > 0) {
		char *buf = c->tx_free[c->tx_nfree - 1];
		size_t k = min(n - done, (size_t)TX_BYTES);
		struct vq_buf b = {.addr = virt_to_phys(buf), .len = k};

		memcpy(buf, s + done, k);
		if (virtio_add(c->tx, &b, 1, 0, buf))
			break;
		c->tx_nfree--;
		done += k;
	}
	if (done > 0) {
		c->last = s[done - 1];
		virtio_kick(c->tx);
	}
	return done;
}

static size_t
console_write(void *dev, const char *s, size_t n)
{
	struct virtio_console *c = dev;
	size_t done;

	spin_lock(&c->lock);
	done = send(c, s, n);
	if (done < n) {
		c->wants_room = true;
		if (virtqueue_cb_on(&c->tx->vq))
			done += send(c, s + done, n - done);
	}
	spin_unlock(&c->lock);
	return done;
}

static size_t
console_room(void *dev)
{
	struct virtio_console *c = dev;
	size_t n;

	spin_lock(&c->lock);
	reclaim(c);
	n = c->tx_nfree * TX_BYTES;
	spin_unlock(&c->lock);
	return n;
}

static const struct tty_driver console_tty_driver = {
	.write = console_write,
	.room = console_room,
};

static void
tx_interrupt(void *arg)
{
	struct virtio_console *c = arg;
	bool tell = false;

	chdev_interrupted(c->chdev);
	spin_lock(&c->lock);
	reclaim(c);
	if (c->wants_room && c->tx_nfree > 0) {
		c->wants_room = false;
		virtqueue_cb_off(&c->tx->vq);
		tell = true;
	}
	spin_unlock(&c->lock);
	if (tell)
		tty_output_ready(c->tty);
}

/* Sends all of it, waiting for the device. => c->lock held. */
static void
send_polled(struct virtio_console *c, const char *s, size_t n)
{
	size_t done = 0;

	for (u32 spins = 0; done < n && spins < SPINS_MAX; spins++) {
		done += send(c, s + done, n - done);
		if (done < n)
			cpu_pause();
	}
}

/* klog's console. */
static void
console_log(const char *s, size_t n)
{
	struct virtio_console *c = atomic_load(&machine()->ttys->log_device);
	size_t start = 0;

	spin_lock(&c->lock);
	if (c->last != '\n')
		send_polled(c, "\r\n", 2);
	for (size_t i = 0; i < n; i++) {
		if (s[i] != '\n')
			continue;
		send_polled(c, s + start, i - start);
		send_polled(c, "\r\n", 2);
		start = i + 1;
	}
	send_polled(c, s + start, n - start);
	spin_unlock(&c->lock);
}

/* --- receiving --- */

/* => c->lock held. */
static void
give_rx(struct virtio_console *c, char *buf)
{
	struct vq_buf b = {.addr = virt_to_phys(buf), .len = RX_BYTES};

	if (virtio_add(c->rx, &b, 0, 1, buf))
		klog(KLOG_WARN, "console", "an input buffer was refused");
}

static void
rx_interrupt(void *arg)
{
	struct virtio_console *c = arg;
	char *buf;
	u32 len;

	chdev_interrupted(c->chdev);
	spin_lock(&c->lock);
	do {
		while ((buf = virtqueue_get(&c->rx->vq, &len))) {
			spin_unlock(&c->lock);
			tty_input(c->tty, buf, len);
			spin_lock(&c->lock);
			give_rx(c, buf);
		}
	} while (virtqueue_cb_on(&c->rx->vq) && !c->rx->vq.broken);
	virtio_kick(c->rx);
	spin_unlock(&c->lock);
}

static void
size_changed(void *arg)
{
	struct virtio_console *c = arg;
	struct console_size size;

	if (!virtio_has(&c->vdev, FEATURE_SIZE))
		return;
	virtio_config_read(&c->vdev, 0, &size, sizeof(size));
	if (size.rows && size.cols)
		tty_set_winsize(c->tty, size.rows, size.cols);
}

/* --- start --- */

static int
make_buffers(struct virtio_console *c)
{
	for (int i = 0; i < TX_BUFS; i++) {
		c->tx_buf[i] = kmalloc(TX_BYTES);
		if (!c->tx_buf[i])
			return -ENOMEM;
		c->tx_free[c->tx_nfree++] = c->tx_buf[i];
	}
	for (int i = 0; i < RX_BUFS; i++) {
		c->rx_buf[i] = kmalloc(RX_BYTES);
		if (!c->rx_buf[i])
			return -ENOMEM;
	}
	return 0;
}

static void
console_free(struct virtio_console *c)
{
	for (int i = 0; i < TX_BUFS; i++)
		kfree(c->tx_buf[i]);
	for (int i = 0; i < RX_BUFS; i++)
		kfree(c->rx_buf[i]);
	kfree(c);
}

static int
start_device(struct virtio_console *c, struct pci_device *d, struct core *core)
{
	struct virtio_queue_want rx = {.core = core, .fn = rx_interrupt, .arg = c};
	struct virtio_queue_want tx = {.core = core, .fn = tx_interrupt, .arg = c};
	int err = virtio_pci_attach(d, &c->vdev);

	c->vdev.config_changed = size_changed;
	c->vdev.config_arg = c;
	if (!err)
		err = virtio_negotiate(&c->vdev, 1UL << FEATURE_SIZE);
	if (!err)
		err = virtio_queue_setup(&c->vdev, QUEUE_RX, &rx, &c->rx);
	if (!err)
		err = virtio_queue_setup(&c->vdev, QUEUE_TX, &tx, &c->tx);
	return err;
}

static void
go(struct virtio_console *c)
{
	virtio_ready(&c->vdev);
	spin_lock(&c->lock);
	virtqueue_cb_off(&c->tx->vq);
	for (int i = 0; i < RX_BUFS; i++)
		give_rx(c, c->rx_buf[i]);
	(void)virtqueue_cb_on(&c->rx->vq);
	virtio_kick(c->rx);
	spin_unlock(&c->lock);
	console_winsize_init(c->tty);
	size_changed(c);
	tty_set_console(c->tty);
	atomic_store(&machine()->ttys->log_device, c);
	klog_set_console(console_log);
}

static int
console_probe(struct pci_device *d)
{
	struct virtio_console *c = kzalloc(sizeof(*c));
	int err;

	if (!c)
		return -ENOMEM;
	spin_init(&c->lock, "virtio-console", RANK_NONE);
	c->last = '\n';
	err = make_buffers(c);
	if (err)
		goto fail;
	err = -ENOMEM;
	c->chdev = chdev_create("hvc", d);
	if (!c->chdev)
		goto fail;
	err = start_device(c, d, c->chdev->core);
	if (err)
		goto fail;
	err = -ENOMEM;
	c->tty = tty_create("hvc0", &console_tty_driver, c);
	if (!c->tty)
		goto stop;
	tty_set_device_number(c->tty, 229, 0);
	d->driver_data = c;
	go(c);
	return 0;
stop:
	virtio_fail(&c->vdev);
fail:
	console_free(c);
	return err;
}

static bool
console_match(const struct pci_device *d)
{
	const struct tty *t = tty_console();

	/* The first one only: its log function is the machine's. */
	return virtio_pci_is(d, VIRTIO_TYPE_CONSOLE) && !(t && strcmp(tty_name(t), "hvc0") == 0);
}

extern const struct driver virtio_console_driver;
const struct driver virtio_console_driver = {
	.name = "virtio-console",
	.stage = 1,
	.match = console_match,
	.probe = console_probe,
};

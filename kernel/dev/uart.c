/*
 * The 16550 serial ports of a PC: COM1 is the terminal ttyS0, COM2 the control channel's input.
 *
 * Output goes through a ring. A write fills the transmit FIFO by itself when the FIFO is empty;
 * only what is left over waits for the FIFO-empty interrupt, which sends 16 bytes at a time: under
 * an emulator every port access leaves the guest. Kernel lines enter the same ring whole, on a line
 * of their own; when the ring is full they are sent by polling. The panic path does not come here
 * (console_early_write of core/ polls).
 *
 * COM2: the host sends lines "winsize ROWS COLS" for /dev/console; output there is dev/power.c's.
 * Locks: tty's, then the uart's (rank 0: kernel lines come under the log's lock too; nothing is
 * logged or woken under it). Source: PC16550D data sheet.
 */
#include "dev/uart.h"

#include <asm/errno.h>

#include "arch/apic.h"
#include "arch/cpu.h"
#include "core/core.h"
#include "core/klog.h"
#include "dev/fwcfg.h"
#include "dev/power.h"
#include "dev/tty_impl.h"
#include "lib/string.h"
#include "mm/slab.h"

#define COM1	 0x3f8
#define COM1_IRQ 4
#define COM2	 0x2f8
#define COM2_IRQ 3

#define REG_DATA 0
#define REG_IER	 1
#define IER_RX	 1u
#define IER_TX	 2u
#define REG_FCR	 2    /* write */
#define FCR_ON	 0x87 /* FIFOs on and cleared, interrupt at 8 bytes */
#define REG_IIR	 2    /* read */
#define IIR_NONE 1u
#define REG_LCR	 3
#define LCR_8N1	 3
#define LCR_DLAB 0x80
#define REG_MCR	 4
#define MCR_ON	 0x0b /* DTR, RTS, OUT2: interrupts reach the bus */
#define REG_LSR	 5
#define LSR_DATA 1u
#define LSR_THRE 0x20u
#define LSR_TEMT 0x40u
#define REG_SCR	 7

#define FIFO	     16
#define TX_RING	     8192u /* power of two */
#define RX_BURST     64
#define CONTROL_LINE 80
#define DRAIN_SPINS  1000000u

struct uart {
	u16 port; /* [I] */
	struct spinlock lock;
	struct tty *tty;	 /* [I] NULL: the control channel */
	u32 tail, head;		 /* [lock] of ring */
	bool tx_interrupt;	 /* [lock] the FIFO-empty interrupt is on */
	bool wants_room;	 /* [lock] the tty was told there is none */
	char last;		 /* [lock] last byte queued */
	char *ring;		 /* [lock] TX_RING bytes */
	char line[CONTROL_LINE]; /* [c] of the control channel */
	u32 line_len;
};

/* --- sending --- */

/* => u->lock held; the FIFO is empty. */
static void
fill_fifo(struct uart *u)
{
	for (int i = 0; i < FIFO && u->tail != u->head; i++)
		outb(u->port + REG_DATA, u->ring[u->tail++ & (TX_RING - 1)]);
}

static void
set_tx_interrupt(struct uart *u, bool on)
{
	if (u->tx_interrupt == on)
		return;
	u->tx_interrupt = on;
	outb(u->port + REG_IER, on ? IER_RX | IER_TX : IER_RX);
}

/* => u->lock held. */
static void
start_sending(struct uart *u)
{
	if (u->tx_interrupt || u->tail == u->head)
		return;
	if (inb(u->port + REG_LSR) & LSR_THRE)
		fill_fifo(u);
	if (u->tail != u->head)
		set_tx_interrupt(u, true);
}

static size_t
ring_room(const struct uart *u)
{
	return TX_RING - (u->head - u->tail);
}

static size_t
ring_put(struct uart *u, const char *s, size_t n)
{
	n = min(n, ring_room(u));
	for (size_t i = 0; i < n; i++)
		u->ring[u->head++ & (TX_RING - 1)] = s[i];
	if (n > 0)
		u->last = s[n - 1];
	return n;
}

static size_t
uart_write(void *dev, const char *s, size_t n)
{
	struct uart *u = dev;
	size_t done;

	spin_lock(&u->lock);
	done = ring_put(u, s, n);
	if (done < n)
		u->wants_room = true;
	start_sending(u);
	spin_unlock(&u->lock);
	return done;
}

static size_t
uart_room(void *dev)
{
	struct uart *u = dev;
	size_t n;

	spin_lock(&u->lock);
	n = ring_room(u);
	spin_unlock(&u->lock);
	return n;
}

static void
uart_flush(void *dev)
{
	struct uart *u = dev;

	spin_lock(&u->lock);
	u->tail = u->head;
	spin_unlock(&u->lock);
}

static const struct tty_driver uart_tty_driver = {
	.write = uart_write,
	.room = uart_room,
	.flush = uart_flush,
};

/* Sends all of the ring by polling. => u->lock held. */
static void
drain_polled(struct uart *u)
{
	while (u->tail != u->head) {
		while (!(inb(u->port + REG_LSR) & LSR_THRE))
			cpu_pause();
		fill_fifo(u);
	}
}

/* For power_off: all of the ring, and the FIFO behind it (bounded: the host may not read). */
static void
uart_drain(void *dev)
{
	struct uart *u = dev;

	spin_lock(&u->lock);
	drain_polled(u);
	for (u32 spin = 0; spin < DRAIN_SPINS && !(inb(u->port + REG_LSR) & LSR_TEMT); spin++)
		cpu_pause();
	spin_unlock(&u->lock);
}

static void
log_put(struct uart *u, const char *s, size_t n)
{
	if (ring_room(u) < n)
		drain_polled(u);
	ring_put(u, s, n);
}

/* klog's console. */
static void
uart_log(const char *s, size_t n)
{
	struct uart *u = atomic_load(&machine()->ttys->log_device);

	spin_lock(&u->lock);
	if (u->last != '\n')
		log_put(u, "\r\n", 2);
	for (size_t i = 0; i < n; i++) {
		if (s[i] == '\n')
			log_put(u, "\r\n", 2);
		else
			log_put(u, s + i, 1);
	}
	start_sending(u);
	spin_unlock(&u->lock);
}

/* --- receiving --- */

static bool
parse_number(const char **s, unsigned *out)
{
	unsigned n = 0;

	while (**s == ' ')
		(*s)++;
	if (**s < '0' || **s > '9')
		return false;
	while (**s >= '0' && **s <= '9' && n < 100000)
		n = n * 10 + (*(*s)++ - '0');
	*out = n;
	return true;
}

/* "ROWS COLS" becomes the terminal's window size. */
static void
winsize_line(struct tty *t, const char *s)
{
	unsigned rows, cols;

	if (t && parse_number(&s, &rows) && parse_number(&s, &cols) && rows < 65536 && cols < 65536)
		tty_set_winsize(t, rows, cols);
}

static void
control_input(struct uart *u, const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (s[i] != '\n') {
			if (u->line_len < CONTROL_LINE - 1)
				u->line[u->line_len++] = s[i];
			continue;
		}
		u->line[u->line_len] = 0;
		u->line_len = 0;
		if (strncmp(u->line, "winsize ", 8) == 0)
			winsize_line(tty_console(), u->line + 8);
	}
}

static void
deliver(struct uart *u, const char *s, size_t n)
{
	if (n == 0)
		return;
	if (u->tty)
		tty_input(u->tty, s, n);
	else
		control_input(u, s, n);
}

static void
uart_interrupt(void *arg)
{
	struct uart *u = arg;
	bool tell = false;
	char buf[RX_BURST];
	size_t n;
	u8 lsr;

	do {
		n = 0;
		spin_lock(&u->lock);
		while (((lsr = inb(u->port + REG_LSR)) & LSR_DATA) && n < sizeof(buf))
			buf[n++] = inb(u->port + REG_DATA);
		if (u->tx_interrupt && (lsr & LSR_THRE)) {
			fill_fifo(u);
			if (u->tail == u->head)
				set_tx_interrupt(u, false);
			if (u->wants_room && ring_room(u) >= TX_RING / 2) {
				u->wants_room = false;
				tell = true;
			}
		}
		spin_unlock(&u->lock);
		deliver(u, buf, n);
	} while (!(inb(u->port + REG_IIR) & IIR_NONE));
	if (tell && u->tty)
		tty_output_ready(u->tty);
}

/* --- start --- */

static bool
uart_present(u16 port)
{
	outb(port + REG_SCR, 0x5a);
	if (inb(port + REG_SCR) != 0x5a)
		return false;
	outb(port + REG_SCR, 0xa5);
	return inb(port + REG_SCR) == 0xa5;
}

static void
uart_hardware_init(struct uart *u)
{
	outb(u->port + REG_IER, 0);
	outb(u->port + REG_LCR, LCR_DLAB | LCR_8N1);
	outb(u->port + REG_DATA, 1); /* 115200 */
	outb(u->port + REG_IER, 0);
	outb(u->port + REG_LCR, LCR_8N1);
	outb(u->port + REG_FCR, FCR_ON);
	outb(u->port + REG_MCR, MCR_ON);
}

static int
uart_connect_irq(struct uart *u, unsigned irq)
{
	int vector = irq_alloc(this_core(), uart_interrupt, u), err;

	if (vector < 0)
		return vector;
	err = irq_route_isa(irq, this_core(), vector);
	if (err) {
		irq_free(this_core(), vector);
		return err;
	}
	outb(u->port + REG_IER, IER_RX);
	irq_mask_gsi(irq_isa_to_gsi(irq), false);
	return 0;
}

static struct uart *
uart_create(u16 port)
{
	struct uart *u = kzalloc(sizeof(*u));

	if (!u)
		return NULL;
	spin_init(&u->lock, "uart", RANK_NONE);
	u->port = port;
	u->last = '\n';
	return u;
}

void
console_winsize_init(struct tty *t)
{
	char buf[32];
	ssize_t n = fwcfg_read("opt/holdfast/winsize", buf, sizeof(buf) - 1);

	if (n <= 0)
		return;
	buf[n] = 0;
	winsize_line(t, buf);
}

static int
com1_probe(struct pci_device *d)
{
	struct uart *u;
	int err = -ENOMEM;

	if (!uart_present(COM1))
		return -ENODEV;
	u = uart_create(COM1);
	if (!u)
		return -ENOMEM;
	u->ring = kmalloc(TX_RING);
	if (!u->ring)
		goto free;
	u->tty = tty_create("ttyS0", &uart_tty_driver, u);
	if (!u->tty)
		goto free_ring;
	tty_set_device_number(u->tty, 4, 64);
	uart_hardware_init(u);
	err = uart_connect_irq(u, COM1_IRQ);
	if (err)
		klog(KLOG_WARN, "uart", "no interrupt %d: error %d, no input", COM1_IRQ, -err);
	atomic_store(&machine()->ttys->log_device, u);
	klog_set_console(uart_log);
	machine()->power->drain_dev = u;
	machine()->power->drain = uart_drain;
	console_winsize_init(u->tty);
	return 0;
free_ring:
	kfree(u->ring);
free:
	kfree(u);
	return err;
}

static int
com2_probe(struct pci_device *d)
{
	struct uart *u;
	int err;

	if (!uart_present(COM2))
		return -ENODEV;
	u = uart_create(COM2);
	if (!u)
		return -ENOMEM;
	uart_hardware_init(u);
	err = uart_connect_irq(u, COM2_IRQ);
	if (err)
		kfree(u);
	return err;
}

const struct driver uart_driver = {
	.name = "uart",
	.stage = 1,
	.probe = com1_probe,
};

const struct driver uart_control_driver = {
	.name = "uart-control",
	.stage = 1,
	.probe = com2_probe,
};

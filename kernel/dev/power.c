/*
 * Power: see power.h. ACPI 6.4 chapter 4.8 (fixed hardware): PM1 event registers report the power
 * button through the SCI, PM1 control registers switch off with the SLP_TYP values of \_S5.
 * General purpose events and AML are left alone.
 *
 * Locks: power->lock around a line on COM2. A panic writes its own (core/panic.c).
 */
#include "dev/power.h"
#include "arch/apic.h"
#include "arch/clock.h"
#include "arch/cpu.h"
#include "arch/layout.h"
#include "core/core.h"
#include "core/klog.h"
#include "core/panic.h"
#include "lib/acpi.h"
#include "lib/atomic.h"
#include "lib/format.h"
#include "lib/string.h"

#define SCI_EN		(1u << 0)
#define SLP_TYP_SHIFT	10
#define SLP_EN		(1u << 13)
#define PWRBTN		(1u << 8)
#define ENABLE_TRIES	1000000
#define OFF_TAKES_NS	(500 * NS_PER_MS)
#define CONTROL_MAX	512
#define KBD_PULSE_RESET 0xfe

/* A newline inside the text would end the line early. */
static size_t
make_line(char *buf, size_t size, const char *fmt, va_list ap)
{
	int n = format_v(buf, size - 1, fmt, ap);
	size_t len = n < 0 ? 0 : min((size_t)n, size - 2);

	for (size_t i = 0; i < len; i++)
		if (buf[i] == '\n' || buf[i] == '\r')
			buf[i] = ' ';
	buf[len++] = '\n';
	return len;
}

void
control_line(const char *fmt, ...)
{
	struct power *p = machine()->power;
	char buf[CONTROL_MAX];
	va_list ap;
	size_t n;

	va_start(ap, fmt);
	n = make_line(buf, sizeof(buf), fmt, ap);
	va_end(ap);
	spin_lock(&p->lock);
	control_early_write(buf, n);
	spin_unlock(&p->lock);
}

static void
write_pm1_control(u32 port, u8 type)
{
	u16 v;

	if (!port)
		return;
	v = (inw((u16)port) & ~(7u << SLP_TYP_SHIFT)) | (u16)(type << SLP_TYP_SHIFT);
	outw((u16)port, v);
	outw((u16)port, v | SLP_EN);
}

static __noreturn void
halt(void)
{
	for (;;)
		__asm__ volatile("cli; hlt");
}

/* A byte that was written before the end is seen by who watches the console. */
static void
drain_console(void)
{
	struct power *p = machine()->power;

	if (p->drain)
		p->drain(p->drain_dev);
}

void
power_off(void)
{
	const struct acpi *a = machine()->acpi;

	drain_console();
	irq_disable();
	if (a->has_s5) {
		write_pm1_control(a->pm1a_control, a->s5_a);
		write_pm1_control(a->pm1b_control, a->s5_b);
	}
	clock_spin_ns(OFF_TAKES_NS);
	klog(KLOG_WARN, "power", "the machine does not switch itself off: it is halted");
	halt();
}

static void
write_reset_register(const struct acpi *a)
{
	if (!a->reset.address)
		return;
	if (a->reset.space == 1)
		outb((u16)a->reset.address, a->reset_value);
}

void
power_reboot(void)
{
	static const struct __packed {
		u16 limit;
		u64 base;
	} no_idt = {0, 0};

	drain_console();
	irq_disable();
	write_reset_register(machine()->acpi);
	outb(0xcf9, 0x02); /* PCI reset control: system reset, then do it */
	outb(0xcf9, 0x06);
	outb(0x64, KBD_PULSE_RESET);
	for (int i = 0; i < ENABLE_TRIES; i++)
		cpu_pause();
	__asm__ volatile("lidt %0; int3" : : "m"(no_idt)); /* a triple fault resets */
	halt();
}

void
power_init_early(void)
{
	spin_init(&machine()->power->lock, "control", RANK_LOG);
	panic_set_off_switch(power_off);
}

/* --- the power button --- */

static void
sci_port(u32 event, u8 len, bool *pressed)
{
	u16 status, enabled;

	if (!event)
		return;
	status = inw((u16)event);
	enabled = inw((u16)(event + len / 2));
	outw((u16)event, status & enabled); /* write one to clear */
	if (status & enabled & PWRBTN)
		*pressed = true;
}

static void
sci_interrupt(void *arg)
{
	const struct acpi *a = machine()->acpi;
	struct power *p = machine()->power;
	void (*fn)(void);
	bool pressed = false;

	sci_port(a->pm1a_event, a->pm1_event_len, &pressed);
	sci_port(a->pm1b_event, a->pm1_event_len, &pressed);
	if (!pressed)
		return;
	fn = atomic_load(&p->button);
	if (fn)
		fn();
	else
		atomic_store(&p->pressed, 1);
}

void
power_set_button(void (*fn)(void))
{
	struct power *p = machine()->power;

	atomic_store(&p->button, fn);
	if (fn && atomic_xchg(&p->pressed, 0))
		fn();
}

static bool
acpi_mode_on(const struct acpi *a)
{
	if (!a->pm1a_control)
		return false;
	if (inw((u16)a->pm1a_control) & SCI_EN)
		return true;
	if (!a->smi_cmd || !a->acpi_enable)
		return false;
	outb((u16)a->smi_cmd, a->acpi_enable);
	for (int i = 0; i < ENABLE_TRIES; i++)
		if (inw((u16)a->pm1a_control) & SCI_EN)
			return true;
	return false;
}

/* The SCI is level-triggered and active low unless an override says otherwise. */
static int
route_sci(const struct acpi *a, int vector)
{
	struct core *c = this_core();

	for (u32 i = 0; i < a->noverrides; i++)
		if (a->override[i].irq == a->sci)
			return irq_route_isa(a->sci, c, vector);
	return irq_route_gsi(a->sci, c, vector, true, true);
}

static void
enable_button(u32 event, u8 len)
{
	if (!event)
		return;
	outw((u16)event, PWRBTN);
	outw((u16)(event + len / 2), inw((u16)(event + len / 2)) | PWRBTN);
}

void
power_init(void)
{
	const struct acpi *a = machine()->acpi;
	int vector;

	if (!a->has_fadt || !a->pm1_event_len || !acpi_mode_on(a))
		return;
	vector = irq_alloc(this_core(), sci_interrupt, NULL);
	if (vector < 0 || route_sci(a, vector)) {
		klog(KLOG_WARN, "power", "no interrupt for the power button");
		return;
	}
	enable_button(a->pm1a_event, a->pm1_event_len);
	enable_button(a->pm1b_event, a->pm1_event_len);
	irq_mask_gsi(irq_isa_to_gsi(a->sci), false);
}

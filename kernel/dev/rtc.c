/*
 * The RTC: see rtc.h. Reads until two readings outside of an update are equal. BCD or binary and 12
 * or 24 hours are as register B says. The century comes from the register that the FADT names.
 */
#include "dev/rtc.h"
#include "arch/clock.h"
#include "arch/cpu.h"
#include "core/core.h"
#include "core/klog.h"
#include "lib/acpi.h"
#include "lib/string.h"

#define REG_SECOND	0x00
#define REG_MINUTE	0x02
#define REG_HOUR	0x04
#define REG_DAY		0x07
#define REG_MONTH	0x08
#define REG_YEAR	0x09
#define REG_A		0x0a
#define REG_B		0x0b
#define A_UPDATING	0x80
#define B_BINARY	0x04
#define B_24_HOURS	0x02
#define HOUR_PM		0x80
#define READ_TRIES	100
#define UPDATE_LIMIT_NS (5 * NS_PER_MS)

struct rtc_reading {
	u8 second, minute, hour, day, month, year, century;
};

static u8
cmos(u8 reg)
{
	outb(0x70, 0x80 | reg); /* NMI stays off while the index is set */
	return inb(0x71);
}

static void
wait_for_update(void)
{
	ns_t limit = clock_now() + UPDATE_LIMIT_NS;

	while ((cmos(REG_A) & A_UPDATING) && clock_now() < limit)
		cpu_pause();
}

static struct rtc_reading
read_once(u8 century)
{
	wait_for_update();
	return (struct rtc_reading){
		.second = cmos(REG_SECOND),
		.minute = cmos(REG_MINUTE),
		.hour = cmos(REG_HOUR),
		.day = cmos(REG_DAY),
		.month = cmos(REG_MONTH),
		.year = cmos(REG_YEAR),
		.century = century ? cmos(century) : 0,
	};
}

static unsigned
decode(u8 v, bool binary)
{
	return binary ? v : (v >> 4) * 10u + (v & 15);
}

s64
rtc_seconds(unsigned year, unsigned month, unsigned day, u32 second_of_day)
{
	/* Days since 1970-03-01 of a year that begins in March: leap days are then at its end. */
	s64 y = month <= 2 ? (s64)year - 1 : year;
	s64 m = month <= 2 ? month + 9 : month - 3;
	s64 days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719468;

	return days * 86400 + second_of_day;
}

void
rtc_init(void)
{
	u8 century_reg = machine()->acpi->century, b = cmos(REG_B);
	bool binary = b & B_BINARY;
	struct rtc_reading r = read_once(century_reg), again;
	unsigned hour, year, century;

	for (int i = 0; i < READ_TRIES; i++) {
		again = read_once(century_reg);
		if (!memcmp(&r, &again, sizeof(r)))
			break;
		r = again;
	}
	hour = decode(r.hour & ~HOUR_PM, binary);
	if (!(b & B_24_HOURS))
		hour = hour % 12 + (r.hour & HOUR_PM ? 12 : 0);
	year = decode(r.year, binary);
	century = century_reg ? decode(r.century, binary) : 0;
	year += century >= 19 && century <= 29 ? century * 100 : 2000;
	if (decode(r.month, binary) - 1 > 11 || decode(r.day, binary) - 1 > 30) {
		klog(KLOG_WARN, "rtc", "no valid date: time starts in 1970");
		return;
	}
	clock_set_real_offset(rtc_seconds(year, decode(r.month, binary), decode(r.day, binary),
					  (hour * 60 + decode(r.minute, binary)) * 60 +
						  decode(r.second, binary)) *
				      NS_PER_SEC -
			      clock_now());
}

/* The battery-backed clock of the PC (MC146818 in CMOS), read once at boot. */
#ifndef DEV_RTC_H
#define DEV_RTC_H

#include "lib/types.h"

/* Sets the real-time clock (clock_set_real_offset) from the RTC, which runs in UTC. */
void rtc_init(void);
/* Seconds since 1970 of a date of the Gregorian calendar; month 1..12, day 1..31. */
s64 rtc_seconds(unsigned year, unsigned month, unsigned day, u32 second_of_day);

#endif

/* Names of all Linux calls of x86-64, implemented or not; the table is generated. */
#ifndef LINUX_NAMES_H
#define LINUX_NAMES_H

#include "lib/types.h"

/* NULL: there is no such call. */
const char *linux_call_name(u64 number);

#endif

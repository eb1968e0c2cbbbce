/* In place of the C library's, for lwIP's own files. */
#ifndef NET_LWIP_STDLIB_H
#define NET_LWIP_STDLIB_H
#include "arch/cc.h"
#endif

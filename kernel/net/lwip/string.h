/* In place of the C library's, for lwIP's own files. */
#ifndef NET_LWIP_STRING_H
#define NET_LWIP_STRING_H
#include "lib/string.h"
#endif

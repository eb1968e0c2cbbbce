/*
 * Records on the disk as such, and the system's, which tools/store reads, too (doc/store.md).
 */
#ifndef PERSIST_RECORD_H
#define PERSIST_RECORD_H

#include "lib/types.h"
#include "store/format.h"

#define ID_SYSTEM     STORE_OID_USER /* the record of the system itself */
#define ID_VDSO	      (STORE_OID_USER + 1)
#define ID_KNOWN_LAST (STORE_OID_USER + 15)
#define ID_FIRST      (STORE_OID_USER + 16) /* of objects that are written down */

#define RECORD_VERSION 1

/* In front of the fields of every record. */
struct record_head {
	u16 kind, version;
	u32 length; /* of the fields, bytes */
};

_Static_assert(sizeof(struct record_head) == 8, "fields stay aligned");

/* The record of the system. */
enum {
	S_NEXT_ID = 1,
	S_CLOCKS = 2, /* monotonic, realtime, boot offset */
	S_SEED = 3,
	S_FEATURES = 4, /* XCR0, then CPUID: words of cpu_features() */
	S_PROCESSES = 5,
	S_RESUMES = 6,
	S_ENDED = 7,  /* process 1 was about to switch the machine off */
	S_MEMORY = 8, /* pages: what processes had of their own, the machine's */
	S_INIT = 64,  /* the roots: process 1, the name space */
	S_NAMESPACE = 65,
};

#endif

/*
 * Records of kernel objects, read from a store on the host (core/persist.h, lib/tagged.h). What a
 * record says is foreign data, right hashes or not: whoever asks checks what it means.
 */
#ifndef STORE_TOOL_RECORD_H
#define STORE_TOOL_RECORD_H

#include "lib/tagged.h"
#include "store/store.h"

struct record {
	u8 *buf;
	u16 kind;
	struct tag_reader fields;
};

/* The record of object id; kind: that it has to be of, 0: any. 0; -ENOENT: none; -EBADMSG: damaged
 * or of another kind; -EIO, -ENOMEM. => record_free, also of a zeroed one */
int __must_check record_read(struct store *s, u64 id, u16 kind, struct record *out);
void record_free(struct record *r);

/* A set of numbers, each with another one. Zeroed: empty. */
struct id_map {
	struct id_pair *slot;
	size_t used, room;
};

struct id_pair {
	u64 id, value;
	bool full;
};

/* False: it was there already, with *value; else it is now, with the caller's. -ENOMEM ends the
 * program: there is nothing to go on with. */
bool id_map_add(struct id_map *m, u64 id, u64 *value);
void id_map_free(struct id_map *m);

#endif

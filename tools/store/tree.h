/*
 * The tree of files in an epoch: names, attributes and contents, as the records of file/ and mm/
 * have them (file/record.h, mm/record.h). Reads only; every byte comes through store_get, which
 * verifies it.
 */
#ifndef STORE_TOOL_TREE_H
#define STORE_TOOL_TREE_H

#include "record.h"

#define TREE_NAME_MAX 255
#define TREE_TEXT_MAX 4096

struct tree_mount {
	u64 point; /* id of the directory that it is over; 0: the root of all */
	u64 root;  /* 0: what is in it is made by the kernel */
};

struct tree {
	struct store *store;
	struct tree_mount *mount;
	size_t mounts;
	u64 root;
};

struct tree_node {
	u64 id;
	u32 mode, uid, gid, nlink;
	s64 atime, mtime; /* ns */
	u64 object;	  /* of its contents; 0: it has none */
	struct record record;
};

enum tree_what { TREE_FILE, TREE_DIR, TREE_DEVICE /* the kernel's own */ };

struct tree_name {
	char name[TREE_NAME_MAX + 1];
	enum tree_what what;
	u64 id;
};

/* 0; -ENODATA: nothing was committed yet; -EBADMSG: damaged; -EIO, -ENOMEM. => tree_close */
int __must_check tree_open(struct tree *t, struct store *s);
void tree_close(struct tree *t);

/* Errors as record_read. => tree_node_free, also after an error */
int __must_check tree_node(const struct tree *t, u64 id, struct tree_node *n);
void tree_node_free(struct tree_node *n);

/* What is seen where directory id is: itself, or the root of what is mounted over it. 0: what the
 * kernel makes. */
u64 tree_over(const struct tree *t, u64 id);

/* The directory's next name behind *f (start with a zeroed one). 1; 0: there are no more; -EBADMSG:
 * this one makes no sense, the next may. */
int __must_check tree_next(const struct tree_node *dir, struct tag_field *f, struct tree_name *out);

/* A symbolic link's text. False: it makes no sense. */
bool tree_text(const struct tree_node *n, char text[TREE_TEXT_MAX]);

/* What a path from the root names; links on the way are followed, one at its end only if a slash is
 * behind it. 0; -ENOENT, -ENOTDIR, -ELOOP, -ENAMETOOLONG; errors of record_read. name: of the last
 * component, empty for the root. */
int __must_check tree_lookup(const struct tree *t, const char *path, struct tree_name *out);

/* The contents of a regular file. */
struct tree_reader {
	/* A page of it, of a block's size; 0 goes on, else it is the result. */
	int (*page)(void *arg, u64 index, const u8 *data);
	/* Pages from index on cannot be read, `count` of them (~0: nobody knows). */
	void (*bad)(void *arg, u64 index, u64 count);
	void *arg;
};

/* Its size in bytes; errors as record_read. */
int __must_check tree_size(const struct tree *t, const struct tree_node *n, u64 *size);
/* Each page there is, in no order; a later one counts before an earlier one of the same index. What
 * is not told is zero. 0, a result of `page`, or an error of the contents' record. */
int __must_check tree_read(const struct tree *t, const struct tree_node *n,
			   const struct tree_reader *r);

#endif

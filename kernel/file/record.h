/*
 * The tags of file/'s records on the disk, which tools/store reads, too: never changed, never used
 * again. What is written where is told by vnode_persist.c, mount_persist.c and place_persist.c.
 */
#ifndef FILE_RECORD_H
#define FILE_RECORD_H

#define RECORD_NAMESPACE 80 /* numbers of kinds */
#define RECORD_MOUNT	 81
#define RECORD_VNODE	 82

/* A vnode. */
enum {
	V_MODE = 1,
	V_UID = 2,
	V_GID = 3,
	V_NLINK = 4,
	V_INO = 5,
	V_DEV = 6,
	V_RDEV = 7,
	V_ATIME = 8,
	V_MTIME = 9,
	V_CTIME = 10,
	V_BTIME = 11,
	V_FLAGS = 12,
	V_SEALS = 13,
	V_TEXT = 14,
	V_OBJECT = 15,
	V_MOUNT = 16,
	V_LOCK = 17,
	/* directories */
	V_NAME = 32,
	V_PARENT = 33, /* of one that is in no directory */
	V_NEXT_SEQ = 34,
	V_CHILD = 35,
	V_DEV_PATH = 36,
};

/* In V_CHILD. */
enum {
	CHILD_NAME = 1,
	CHILD_SEQ = 2,
	CHILD_FILE = 3, /* one of these three */
	CHILD_DIR = 4,
	CHILD_MODE = 5, /* the kernel's, in /dev */
	CHILD_IDS = 6,
};

/* A mount. */
enum {
	M_KIND = 1,
	M_DEV = 2,
	M_FLAGS = 3,
	M_SOURCE = 4,
	M_LIMIT = 5,
};

/* The name space, and in N_MOUNT. */
enum { N_NEXT_INO = 1, N_NEXT_DEV = 2, N_PIPE_INO = 3, N_MOUNT = 4 };
enum { AT_MOUNT = 1, AT_POINT = 2, AT_ROOT = 3 };

/* A place in the name space. */
enum {
	PLACE_DIR = 1, /* a directory's vnode: that is it */
	PLACE_IN = 2,  /* the directory of a name in the tree */
	PLACE_NAME = 3,
	PLACE_VNODE = 4, /* of a dentry that is in no directory */
	PLACE_PARENT = 5,
	PLACE_FS = 6, /* enum fs_kind: PLACE_PATH is in its mount */
	PLACE_PATH = 7,
	PLACE_FILE = 8, /* a file without a vnode that was opened with O_PATH */
};

#endif

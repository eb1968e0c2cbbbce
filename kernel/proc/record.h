/*
 * The tags of a process's record on the disk, which tools/store reads, too: never changed, never
 * used again. What is written where is told by process_persist.c.
 */
#ifndef PROC_RECORD_H
#define PROC_RECORD_H

#define RECORD_PROCESS 48 /* number of the kind */

enum {
	P_PID = 1,
	P_GROUP = 2, /* group, session */
	P_CHILD = 3, /* one each, in order */
	P_TASK = 4,
	P_MAP = 5,
	P_FILES = 6,
	P_FS = 7,
	P_HANDLERS = 8,
	P_PENDING = 9,
	P_FLAGS = 10,
	P_STATUS = 11, /* exit code, stop signal, exit signal, parent-death signal */
	P_CRED = 12,
	P_RLIMIT = 13,
	P_COMM = 14,
	P_EXE = 15,
	P_AUXV = 16,
	P_TIMES = 17,
	P_COUNTS = 18,
	P_MISC = 19, /* personality, score for want of memory */
	P_TTY = 20,
};

/* P_FLAGS */
#define F_EXITING	  1u
#define F_ZOMBIE	  2u
#define F_STOPPED	  4u
#define F_CONTINUED	  8u
#define F_STOP_REPORTED	  16u
#define F_CONTINUE_UNTOLD 32u
#define F_VFORK_DONE	  64u
#define F_DUMPABLE	  128u
#define F_SUBREAPER	  256u
#define F_DID_EXEC	  512u
#define F_NO_NEW_PRIVS	  1024u
#define F_KEEP_CAPS	  2048u
#define F_FILES_SHARED	  4096u
#define F_REAPED	  8192u

#endif

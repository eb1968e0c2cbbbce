/* What proc/ gives the store (core/persist.h). The root of all is process 1. */
#ifndef PROC_PERSIST_H
#define PROC_PERSIST_H

#include "core/persist.h"
#include "proc/signal.h"

struct process;

extern const struct persist_kind process_persist;     /* 48: struct process, its timers */
extern const struct persist_kind task_persist;	      /* 49: struct task */
extern const struct persist_kind sighandlers_persist; /* 50: struct sighandlers */

/* Of the system's record: names of the machine and the last number given. */
void processes_save(struct persist_writer *w, u16 tag);
/* => before anything is made. 0, -EBADMSG */
int __must_check processes_load(struct persist_reader *r, u16 tag);
/* After a resume: process 1 takes its place, and all tasks begin to run; those that slept in a call
 * issue it again. -EBADMSG: there is no process 1. */
int __must_check processes_go_on(struct process *init);

/* sigqueue_persist.c: the signals of a queue as a group. */
void sigqueue_save(struct tag_writer *w, u16 tag, const struct sigqueue *q);
int __must_check sigqueue_load(const struct tag_reader *in, u16 tag, struct sigqueue *q);

/* timers.c */
void timers_save(struct persist_writer *w, const struct process *p);
int __must_check timers_load(struct persist_reader *r, struct process *p);
void timers_go_on(struct process *p);

#define TAG_TIMERS_FIRST 64 /* tags from here to 79 of a process's record are timers.c's */

/* Rows of 64-bit numbers. A shorter row than asked for leaves the rest as it was. */
static inline void
tag_words(struct tag_writer *w, u16 tag, const u64 *word, size_t n)
{
	tag_bytes(w, tag, word, n * sizeof(*word));
}

/* Several of them. One call for all: where processors are emulated, the first time that a
 * checkpoint comes to a place in the code costs more than what is done there. */
struct tag_row {
	u16 tag;
	u16 n;
	const u64 *word;
};
void tag_rows(struct tag_writer *w, const struct tag_row *row, unsigned rows);

/* => returns how many were there, at most n */
size_t tag_get_words(const struct tag_reader *in, u16 tag, u64 *word, size_t n);

#endif

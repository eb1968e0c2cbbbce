/* Making the texts of /proc/<pid>: see procinfo.c and procmaps.c. */
#ifndef PROC_INFO_H
#define PROC_INFO_H

#include "proc/process.h"

struct text {
	char *buf;
	size_t size, used; /* used may exceed size: then it is asked for again with more room */
	bool by_task;	   /* of one task, not of the process */
};

void text_add(struct text *t, const char *fmt, ...) __printf(2, 3);
char task_state_letter(struct process *p, struct task *t);
void info_show_maps(struct text *x, struct vm_map *m, bool details);
void info_show_rollup(struct text *x, struct vm_map *m);
/* What is written to clear_refs: 1 all, 2 anonymous memory, 3 files, 5 the peak. 0 or -EINVAL. */
int info_clear_refs(struct vm_map *m, const char *which);
void info_add_tunables(void);

#endif

/*
 * What holdfast-store does with the files and processes of an epoch.
 */
#ifndef STORE_TOOL_EXPORT_H
#define STORE_TOOL_EXPORT_H

#include <stdbool.h>

#include "store/store.h"

/*
 * Copies what `path` names into the folder `to`: a file under its name, a directory's contents.
 * Lines on stdout, names with \ooo for what is not printable:
 *	progress NAMES BYTES	once a second
 *	note TEXT	something that could not be kept, and nobody is to blame
 *	fault TEXT	something is damaged, or was refused by the host
 *	done NAMES BYTES FAULTS
 * 0; 1 there were faults; with a line on stderr and nothing done: 2 `to` cannot be used, 3 `path`
 * cannot be found. `force`: `to` need not be empty, and files there give way.
 */
int export(struct store *s, const char *path, const char *to, bool force);

/* Lines on stdout: "process PID BYTES NAME" for each process, "files COUNT BYTES" for the tree,
 * "ended" if the next start will not have the processes, "broken TEXT" for what cannot be read. */
void inside(struct store *s);

/* Prints text with \ooo for what would break a line. */
void print_name(const char *text);

#endif

/* The checkpoint engine for the boot procedure: see README.md. */
#ifndef PERSIST_PERSIST_H
#define PERSIST_PERSIST_H

#include "lib/types.h"

struct block_device;
struct store;

/*
 * What `holdfast run --disk` asks for (fw_cfg, opt/holdfast/store): words of the form name=value.
 *	disk=NAME	the disk that is the store; a blank one is formatted
 *	period=MS	a checkpoint so often; 0: only when asked for
 *	epoch=N		resume this one instead of the last
 *	fresh=1		forget the processes, keep the files
 * Without the blob there is no store, and nothing of the engine is ever called.
 */

/* Opens the store and reads what has to be known before anything else: clocks, names. => in the
 * start thread, after the disks and the process table, before the file systems */
void persist_open(void);
/* The disk that it has opened, and the store on it; NULL: none. */
const struct block_device *persist_disk(void);
const struct store *persist_store(void);
/* Whether there is an epoch whose files (and processes) will take the root image's place. */
bool persist_resuming(void);
/* Brings back the epoch. Returns whether process 1 is there, too. => after all file systems,
 * networks and system calls are there */
bool persist_resume(void);
/* Checkpoints from now on. => process 1 has been started or resumed */
void persist_start(void);

#endif

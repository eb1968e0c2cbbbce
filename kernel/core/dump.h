/* Where every core and every thread stands, for a machine that hangs. */
#ifndef CORE_DUMP_H
#define CORE_DUMP_H

/* A line for each core and each thread, with the functions it is in. => in a panic by NMI, which
 * has told each core to note where it was (arch/trap.c) */
void dump_all(void);

#endif

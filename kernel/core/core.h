/*
 * One core, and the machine they all belong to.
 *
 * struct core is reached through GS by its own core and through machine()->core[] by the others.
 * It is allocated in its cluster's memory before D1. struct machine is allocated once in the boot
 * cluster and holds the roots of everything that clusters share; each subsystem's root is set by
 * its own init function and read-only from then on.
 */
#ifndef CORE_CORE_H
#define CORE_CORE_H

#include "arch/percpu.h"
#include "core/spinlock.h"
#include "lib/rbtree.h"
#include "lib/types.h"

struct trapframe;

struct runqueue {
	struct spinlock lock; /* rank RANK_RUNQ */
	struct rb_tree tree;  /* [lock] runnable threads by vruntime, without the running one */
	u32 nr_running;	      /* [lock] runnable threads, the running one included, idle not */
	ns_t min_vruntime;    /* [lock] */
	ns_t slice_end;	      /* [c] when the running thread has had its turn */
	bool polling;	      /* [a] idle and watching nr_running: needs no IPI */
	ns_t crowded_since;   /* [lock] when a second thread came, or one was last offered */
	struct core *offered; /* [a] another cluster's core that has a thread for this idle one */
};

/* The cores of a cluster that halt and that no waker has claimed; in the cluster's memory. */
struct idle_cores {
	u64 mask; /* [a] of core indexes */
};

struct timerq {
	struct spinlock lock;  /* rank RANK_TIMER */
	struct rb_tree tree;   /* [lock] by expiry */
	struct timer *running; /* [lock] whose handler runs now */
	ns_t armed;	       /* [c] what the hardware is set to */
};

struct core {
	struct arch_core arch;	 /* first: GS points here */
	struct machine *machine; /* [I] */
	struct cluster *cluster; /* [I] this core's cluster, through the physmap */
	struct thread *idle;	 /* [I] */
	struct runqueue rq;
	struct timerq timers;
	struct idle_cores *idle_cores; /* [I] this cluster's */
	ns_t loadavg_due;	       /* [c] no sample is due before; core/loadavg.c */
	struct thread *handover;       /* [c] the thread that was switched away from, see sched.c */
	struct pmap *loaded_pmap;      /* [c] whose root CR3 holds; see mm/pmap.h */
	void *irq_handlers;	       /* [I] table of arch/apic.c, VECTOR_DEVICE_FIRST.. */
	void *irq_args;
	u64 stat_switches, stat_irqs, stat_ipis, stat_syscalls, stat_faults; /* [c] */
	u64 stat_ipis_sent, stat_ipis_saved; /* [a] saved: the target was looking anyway */
	u64 stat_shootdowns;		     /* [a] IPI_TLB it was asked to serve */
	u64 stat_taken;		    /* [c] threads that other clusters' cores had no time for */
	ns_t idle_ns;		    /* [c] */
	ns_t user_ns, system_ns;    /* [c] */
	struct random_core *random; /* [c] core/random.c */
	struct klog_ring *klog;	    /* core/klog.c */
};

/* The roots of what the clusters share. Constant from the first program on: each cluster reads a
 * copy in its own memory. */
struct machine {
	u32 ncores;		/* [I] after boot */
	u32 nclusters;		/* [I] */
	bool persist_verify;	/* [I] mm/cut.h */
	bool count_errors;	/* [I] linux/errors.c */
	unsigned disk_patience; /* [I] seconds: dev/block.h; 0: the usual */
	bool one_copy; /* [I] replicas=off: kernel code, tables and objects in the boot cluster */
	struct core *core[MAX_CORES];		 /* [I] by index */
	struct cluster *cluster[MAX_CLUSTERS];	 /* [I] through the physmap */
	u8 distance[MAX_CLUSTERS][MAX_CLUSTERS]; /* [I] SLIT units */
	struct idle_cores *idle[MAX_CLUSTERS];	 /* [I] */
	u64 cluster_cores[MAX_CLUSTERS];	 /* [I] mask of core indexes */
	struct loadavg *loadavg;		 /* core/loadavg.c */
	struct placement *placement;		 /* core/place.c */
	const char *cmdline;			 /* [I] */
	struct panicking *panicking;		 /* core/panic.c */
	void (*panic_off)(void);		 /* dev/power.c */
	struct clock *clock;			 /* arch/clock.c */
	struct ioapics *ioapics;		 /* arch/apic.c */
	struct acpi *acpi;			 /* lib/acpi.h: what the tables said */
	struct boot_report *boot_report;	 /* boot/report.c */
	ns_t barrier_limit;			 /* [I] cluster/barrier.c */
	struct klog_shared *klog;		 /* core/klog.c */
	struct thread_table *threads;		 /* core/thread.c */
	struct mm *mm;				 /* mm/ */
	struct devices *devices;		 /* dev/ */
	struct vfs *vfs;			 /* file/ */
	struct net *net;			 /* net/ */
	struct processes *processes;		 /* proc/ */
	struct futexes *futexes;		 /* proc/futex.c */
	struct linux_calls *linux_calls;	 /* linux/ */
	void (*dispatch)(struct trapframe *f);	 /* the entry of all Linux calls */
	struct tty_shared *ttys;		 /* dev/tty.c */
	struct random *random;			 /* core/random.c */
	struct power *power;			 /* dev/power.c */
	struct inotify_shared *inotify;		 /* file/inotify.c */
	struct fwcfg *fwcfg;			 /* dev/fwcfg.c */
	struct ipc *ipc;			 /* file/ipc.c: pipes, epoll, timerfd, sockets */
	struct unix_sockets *unix_sockets;	 /* file/unix.c */
	struct quiesce *quiesce;		 /* core/quiesce.c; NULL: no store in use */
	struct persist *persist;		 /* persist/; NULL: no store in use */
	struct persist_marks *marks;		 /* core/persist.c; NULL: no store in use */
	int (*commit)(void);			 /* core/persist.h, persist_durable; or NULL */
	void (*ending)(void);			 /* the same, persist_ending; or NULL */
	int (*room)(u64 bytes);			 /* the same, persist_room; or NULL */
	void (*ask)(void);			 /* the same, persist_ask; or NULL */
	void (*wait)(void);			 /* the same, persist_wait; or NULL */
};

static inline struct core *
this_core(void)
{
	return (struct core *)arch_core();
}

static inline struct machine *
machine(void)
{
	return this_core()->machine;
}

_Static_assert(offsetof(struct core, arch) == 0, "GS points at struct core");

#endif

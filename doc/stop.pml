/*
 * Stopping the cores, kernel/arch/stand.h and kernel/cluster/stop.c: one core stops the others
 * STOPS times; these work, take a lock, shoot down each other's TLB with it held, halt, and are
 * woken by IPIs and by anything else. Who stops them has work that those who do not sleep do pieces
 * of. doc/quiesce.md explains it. Check with
 *
 *	spin -a doc/stop.pml && cc -O2 -DSAFETY -o pan pan.c && ./pan -m1000000
 *
 * A core that moves while the machine is stopped is an assertion, and so is one that does a piece of
 * work that is over; a stop that never comes is an invalid end state. Mistakes to see that both are found: -DBROKEN=1 (a core that goes on looks and
 * takes its bit away in two steps), 2 (what ends a HLT without an interrupt goes on at once), 3 (who
 * stands answers no shootdowns), 4 (who stops looks at a core before it holds it), 5 (a core that
 * is told to stand does so before it answers what was asked in the same interrupt), 6 (a handler
 * runs before the standstill that it interrupted has ended), 7 (a core looks whether there is work,
 * and then begins, in two steps), 8 (who stops does not wait for the end of a piece), 9 (who stops
 * looks for pieces before the offer is taken back).
 */
#ifndef BROKEN
#define BROKEN 0
#endif
#define STOPS 2
#define CORES 2 /* the others; who stops them is none of these */
#define WORK  2 /* how often each does something else than halt */
#define EVENTS 1 /* interrupts of timers and devices */

/* struct arch_core: the bits of `standing`, two of `mailbox`. */
bool still[CORES], held[CORES], share[CORES], busy[CORES];
bool told[CORES];   /* IPI_STAND */
bool shoot[CORES];  /* IPI_TLB; its sender waits until it is answered: */
bool stale[CORES];  /* the other one has */
bool sent[CORES];   /* the vector is on its way */
bool event[CORES];  /* so is another interrupt */
bool locked;
bool stopped;
bool work_there;    /* what stand_work leads to */

/* Anything that others look at. */
inline touch()
{
	assert(!stopped)
}

inline ipi_send(to, reason)
{
	atomic { reason = true; sent[to] = true }
}

/* ipi_poll() */
inline poll(c)
{
	atomic { shoot[c] -> shoot[c] = false; stale[c] = false }
}

inline do_piece(c)
{
#if BROKEN == 7
	share[c] -> busy[c] = true;
#else
	atomic { still[c] && held[c] && share[c] -> busy[c] = true };
#endif
	assert(work_there);
	busy[c] = false
}

inline stand_begin(c)
{
	still[c] = true
}

inline stand_end(c)
{
	if
	:: !still[c]
	:: else ->
		do
#if BROKEN == 1
		:: !held[c] -> still[c] = false; break
#else
		:: atomic { !held[c] -> still[c] = false; break }
#endif
#if BROKEN != 3
		:: poll(c)
#endif
		:: do_piece(c)
		od
	fi
}

/* Of a core with interrupts on, or in HLT. */
inline interrupt(c)
{
	if
	:: atomic { sent[c] -> sent[c] = false }
#if BROKEN != 6
		stand_end(c);
#endif
		touch();
		atomic {
			asked = shoot[c];
			shoot[c] = false;
			stand = told[c];
			told[c] = false
		};
#if BROKEN == 5
		if :: stand -> stand_begin(c); stand_end(c) :: else fi;
		if :: asked -> stale[c] = false :: else fi;
#else
		if :: asked -> stale[c] = false :: else fi;
		if :: stand -> stand_begin(c); stand_end(c) :: else fi;
#endif
	:: atomic { event[c] -> event[c] = false }
#if BROKEN != 6
		stand_end(c);
#endif
		touch()
	fi
}

proctype core(byte c; byte other)
{
	byte work;
	bool asked, stand;

	do
	:: sent[c] || event[c] -> interrupt(c)
	:: work < WORK -> work++; touch()
	/* With the lock held interrupts are put off; who waits for it answers shootdowns. */
	:: work < WORK -> work++;
		do
		:: atomic { !locked -> locked = true; break }
		:: poll(c)
		od;
		touch();
		atomic { stale[other] = true; ipi_send(other, shoot[other]) };
		do
		:: atomic { !stale[other] -> break }
		:: poll(c)
		od;
		touch();
		locked = false
	/* The idle loop: it waits with interrupts on, or in HLT; the two differ in what ends it. */
	:: stand_begin(c);
end:		if
		:: sent[c] || event[c] -> interrupt(c)
		:: work < WORK -> work++
		fi;
#if BROKEN != 2
		stand_end(c);
#else
		still[c] = false;
#endif
		touch()
	od
}

/* Whatever else interrupts. */
active proctype world()
{
	byte n;

	do
	:: n < EVENTS -> n++; event[0] = true
	:: n < EVENTS -> n++; event[1] = true
	:: n == EVENTS -> break
	od
}

inline hold(c)
{
#if BROKEN == 4
	was = still[c];
	held[c] = true;
#else
	atomic { was = still[c]; held[c] = true };
#endif
	if
	:: was
	:: else -> ipi_send(c, told[c])
	fi
}

active proctype stopper()
{
	byte stops;
	bool was, seen0, seen1;

	run core(0, 1);
	run core(1, 0);
	do
	:: stops < STOPS ->
		hold(0);
		seen0 = was;
		hold(1);
		seen1 = was;
#if BROKEN == 4
		if :: seen0 :: else -> (still[0]) fi;
		if :: seen1 :: else -> (still[1]) fi;
#else
		(still[0]);
		(still[1]);
#endif
		stopped = true;
		assert(!locked);
		work_there = true;
		share[0] = true;
		share[1] = true;
#if BROKEN == 9
		(!busy[0]);
		(!busy[1]);
#endif
		share[0] = false;
		share[1] = false;
#if BROKEN != 8 && BROKEN != 9
		(!busy[0]);
		(!busy[1]);
#endif
		work_there = false;
		assert(!busy[0] && !busy[1]);
		stopped = false;
		held[0] = false;
		held[1] = false;
		stops++
	:: else -> break
	od
}

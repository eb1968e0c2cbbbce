/*
 * The standstill of kernel/core/quiesce.h: the caller takes CUTS cuts; two threads of a process run
 * in user mode, in the kernel, asleep in waits of both kinds, and one is made meanwhile, which the
 * other may kill and wait for, as execve does.
 * doc/quiesce.md explains it. Check with
 *
 *	spin -a doc/quiesce.pml && cc -O2 -DSAFETY -o pan pan.c && ./pan -m1000000
 *
 * A cut that never comes, or a thread left behind, is an invalid end state; a thread that moves at
 * a cut is an assertion. Mistakes to see that both are found: -DBROKEN=1 (the census is taken before
 * the number of events is read), 2 (flags are set before `active`), 3 (nobody looks again when the
 * machine is stopped), 4 (a new thread does not look at `active`), 5 (who goes to sleep does not
 * say so), 6 (the end wakes who is parked before it says so), 7 (who is killed stays parked).
 */
#ifndef BROKEN
#define BROKEN 0
#endif
#ifndef CUTS
#define CUTS 2
#endif
#define THREADS 2 /* 0 makes 1 */
#define CALLS	1 /* each thread sleeps in so many of them */

mtype = { NONE, MOVING, SLEEPING, DEAD }; /* thread.state; NONE: not made yet */
mtype = { DISK, EXEC, CALL, BOUNDARY };   /* wait_how: uninterruptible (for what comes, for the
					   * other's end), interruptible, parked */

mtype state[THREADS] = NONE;
mtype how[THREADS];
bool listed[THREADS]; /* in the thread table */
bool park[THREADS];   /* TF_PARK */
bool note[THREADS];   /* finish_switch() on that core has still to call quiesce_note() */
byte noting;	      /* some core is within quiesce_note() */

bool quiescing, stopped;
byte events;	/* quiesce->events */
bool q_lock;	/* quiesce->lock */
bool t_lock;	/* thread_table->lock */
bool c_asleep;	/* the caller, in quiesce->changed */
byte cuts;	/* taken */
byte made;	/* threads that have been made */
bool killed;	/* TF_KILLED of thread 1, set by thread 0 */

/* Nothing of the others moves while the machine is stopped; it stops with no spinlock held. */
inline lock(l)
{
	atomic { !l && !stopped -> l = true }
}

inline unlock(l)
{
	l = false
}

/* What waitq.pml shows to be one step: the state is set, then finish_switch() looks at `active`
 * before anybody can wake the thread. */
inline sleep(t, kind)
{
	atomic {
		!stopped -> how[t] = kind;
		state[t] = SLEEPING;
		note[t] = (quiescing && BROKEN != 5)
	}
}

#define KILLED(t) (killed && t == 1)

/* --- a thread of a process --- */

inline quiesce_park(t)
{
	atomic { !stopped -> park[t] = false };
	lock(q_lock);
	do
	:: quiescing && (!KILLED(t) || BROKEN == 7) ->
		atomic {
			!stopped -> unlock(q_lock);
			if
			:: KILLED(t) && BROKEN != 7 -> skip
			:: else -> sleep(t, BOUNDARY)
			fi
		};
		atomic { state[t] == MOVING && !q_lock && !stopped -> q_lock = true }
	:: else -> break
	od;
	unlock(q_lock)
}

/* A wait for something that comes by itself (a disk, a timer), or from another thread: whoever
 * wakes may do so whenever the machine runs. */
inline system_call(t)
{
	if
	:: sleep(t, DISK)
	:: atomic { !KILLED(t) -> sleep(t, CALL) }
	fi;
	(state[t] == MOVING)
}

/* thread_interrupt() of the other, then its end is waited for: process_become_single(). */
inline execve()
{
	atomic {
		!stopped -> killed = true;
		if
		:: state[1] == SLEEPING &&
		   (how[1] == CALL || (how[1] == BOUNDARY && BROKEN != 7)) -> state[1] = MOVING
		:: else
		fi
	};
	atomic {
		!stopped -> if
		:: state[1] != DEAD -> sleep(0, EXEC)
		:: else
		fi
	};
	(state[0] == MOVING)
}

proctype thread(byte t)
{
	byte calls;

	do
	:: atomic { !stopped && KILLED(t) -> break }
	:: atomic { !stopped && park[t] && !KILLED(t) -> skip }; quiesce_park(t)
	:: atomic { !stopped && !park[t] && calls < CALLS -> calls++ }; system_call(t)
	:: atomic { !stopped && !park[t] && made < THREADS ->
		made++;
		state[1] = MOVING };
		lock(t_lock);
		listed[1] = true;
		if
#if BROKEN != 4
		:: quiescing -> park[1] = true
#endif
		:: else
		fi;
		unlock(t_lock);
		run thread(1)
	:: atomic { !stopped && !park[t] && t == 0 && made == THREADS && !killed -> skip }; execve()
	/* In user mode it stays for ever, if nobody asks it to park. */
	:: atomic { !stopped && cuts == CUTS && !park[t] && calls == CALLS && made == THREADS ->
		break }
	od;
	atomic {
		!stopped -> listed[t] = false;
		state[t] = DEAD;
		note[t] = quiescing;
		if
		:: t == 1 && state[0] == SLEEPING && how[0] == EXEC -> state[0] = MOVING
		:: else
		fi
	}
}

/* Interrupts and other threads: what is waited for comes. */
active proctype world()
{
	byte i;

	do
	:: atomic { !stopped && state[0] == SLEEPING && how[0] != BOUNDARY && how[0] != EXEC ->
		state[0] = MOVING }
	:: atomic { !stopped && state[1] == SLEEPING && how[1] != BOUNDARY -> state[1] = MOVING }
	:: state[0] == DEAD && state[1] == DEAD -> break
	od
}

/* The cores, on which the next thread says that the last one went to sleep. */
active proctype core()
{
end:	do
	:: atomic { !stopped && note[0] -> note[0] = false }; goto say
	:: atomic { !stopped && note[1] -> note[1] = false }; goto say
	:: state[0] == DEAD && state[1] == DEAD && !note[0] && !note[1] -> break
	od;
	goto done;
say:
	lock(q_lock);
	events++;
	c_asleep = false;
	unlock(q_lock);
	goto end;
done:	skip
}

/* --- the caller --- */

#define STILL(t) (!listed[t] || (state[t] == SLEEPING && (how[t] == CALL || how[t] == BOUNDARY)))

/* count_moving(): one thread after the other, with the table's lock. */
inline quiesce_reached()
{
	lock_caller(t_lock);
	reached = STILL(0);
	reached = reached && STILL(1);
	unlock(t_lock)
}

inline lock_caller(l)
{
	atomic { !l -> l = true }
}

inline quiesce_begin()
{
#if BROKEN == 2
	lock_caller(t_lock);
	park[0] = listed[0];
	park[1] = listed[1];
	unlock(t_lock);
	quiescing = true
#else
	quiescing = true;
	lock_caller(t_lock);
	if :: listed[0] -> park[0] = true :: else fi;
	if :: listed[1] -> park[1] = true :: else fi;
	unlock(t_lock)
#endif
}

inline quiesce_wait()
{
	do
	::
#if BROKEN == 1
		quiesce_reached();
		seen = events;
#else
		seen = events;
		quiesce_reached();
#endif
		if
		:: reached -> break
		:: else
		fi;
		lock_caller(q_lock);
		do
		:: events == seen ->
			atomic { c_asleep = true; unlock(q_lock) };
			atomic { !c_asleep && !q_lock -> q_lock = true }
		:: else -> break
		od;
		unlock(q_lock)
	od
}

inline wake_parked()
{
	if :: state[0] == SLEEPING && how[0] == BOUNDARY -> state[0] = MOVING :: else fi;
	if :: state[1] == SLEEPING && how[1] == BOUNDARY -> state[1] = MOVING :: else fi
}

inline quiesce_end()
{
#if BROKEN == 6
	lock_caller(q_lock);
	wake_parked();
	unlock(q_lock);
	quiescing = false
#else
	lock_caller(q_lock);
	quiescing = false;
	wake_parked();
	unlock(q_lock)
#endif
}

active proctype caller()
{
	bool reached;
	byte seen;

	state[0] = MOVING;
	listed[0] = true;
	made = 1;
	run thread(0);
	do
	:: cuts < CUTS ->
		quiesce_begin();
		do
		::	quiesce_wait();
			atomic { !q_lock && !t_lock -> stopped = true };
#if BROKEN == 3
			break;
#endif
			quiesce_reached();
			if
			:: reached -> break
			:: else -> stopped = false
			fi
		od;
		assert(STILL(0) && STILL(1));
		stopped = false;
		quiesce_end();
		cuts++
	:: else -> break
	od
}

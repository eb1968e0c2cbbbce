/*
 * The wait queue protocol of kernel/core/waitq.h: one waiter, WAKERS wakers, one interrupter.
 * doc/waitq.md explains it. Check with
 *
 *	spin -a doc/waitq.pml && cc -O2 -o pan pan.c && ./pan
 *
 * A lost wake-up is a waiter that sleeps for ever: pan reports it as an invalid end state. To see
 * that the model can find one, add -DBROKEN=1 (the sleeper releases the object's lock before it is
 * queued), -DBROKEN=2 (it looks at the flags before its state says SLEEPING) or -DBROKEN=3 (the
 * waker changes the condition without the lock) to the spin command.
 */
#ifndef BROKEN
#define BROKEN 0
#endif
#define WAKERS 2

mtype = { READY, SLEEPING };

bit object_lock, rq_lock; /* the object's spinlock; that of the waiter's run queue */
bool condition;
bool queued;		  /* the waiter is in the queue */
bool woken;		  /* waiter.woken */
bool flag;		  /* TF_SIGNAL */
mtype state = READY;
bool on_core = true;	  /* the waiter's stack is in use, or will be: it is on a run queue */
bool interrupted, finished;
bool started, signal_only; /* who comes: the wakers (and perhaps the signal), or only the signal */

init
{
	if
	:: signal_only = true
	:: skip
	fi;
	started = true
}

inline lock(l)
{
	atomic { l == 0 -> l = 1 }
}

inline unlock(l)
{
	l = 0
}

inline thread_wake()
{
	lock(rq_lock);
	if
	:: state == SLEEPING -> state = READY; on_core = true
	:: else
	fi;
	unlock(rq_lock)
}

/* block() of waitq.c: entered with the object's lock, left without. */
inline block()
{
	lock(rq_lock);
	unlock(object_lock);
#if BROKEN == 2
	if
	:: flag -> unlock(rq_lock)
	:: else -> state = SLEEPING; on_core = false; unlock(rq_lock); (on_core)
	fi
#else
	state = SLEEPING;
	if
	:: flag -> state = READY; unlock(rq_lock)
	:: else ->
		on_core = false; /* sched_switch(): the next thread releases the lock */
		unlock(rq_lock);
		(on_core)
	fi
#endif
}

active proctype waiter()
{
	lock(object_lock);
	do
	:: condition -> break
	:: else ->
		woken = false;
#if BROKEN == 1
		unlock(object_lock);
		lock(object_lock);
#endif
		queued = true;
		block();
		lock(object_lock);
		queued = false;
		if
		:: !woken && flag -> interrupted = true; break
		:: else
		fi
	od;
	unlock(object_lock);
	assert(condition || interrupted);
	finished = true
}

active [WAKERS] proctype waker()
{
	(started);
	if
	:: signal_only -> goto gone
	:: else
	fi;
#if BROKEN == 3
	condition = true;
	if
	:: queued -> woken = true; queued = false; thread_wake()
	:: else
	fi;
#else
	lock(object_lock);
	condition = true;
	if
	:: queued -> woken = true; queued = false; thread_wake()
	:: else
	fi;
	unlock(object_lock);
#endif
gone:	skip
}

/* thread_interrupt(): the flag first, then the state. It may come or not. */
active proctype interrupter()
{
	(started);
	if
	:: !signal_only -> skip
	:: true ->
		flag = true;
		if
		:: state == SLEEPING -> thread_wake()
		:: else
		fi
	fi
}

/*
 * Sections of a profile: an instruction that does nothing and that
 * bench/profile/plugin.c knows. mark(n) begins section n, mark(0) ends it.
 */
#ifndef BENCH_MARK_H
#define BENCH_MARK_H

#define MARK_BASE 0x48464d00 /* displacement of a multi-byte NOP */
#define MARK_LAST 31

#define MARK(n)                                                                                    \
	case n:                                                                                    \
		__asm__ volatile("nopl %c0(%%rax)" : : "i"(MARK_BASE + (n)) : "memory");           \
		break;

static inline void
mark(int section)
{
	switch (section) {
		MARK(0)
		MARK(1) MARK(2) MARK(3) MARK(4) MARK(5) MARK(6) MARK(7) MARK(8) MARK(9) MARK(10)
			MARK(11) MARK(12) MARK(13) MARK(14) MARK(15) MARK(16) MARK(17) MARK(18)
				MARK(19) MARK(20) MARK(21) MARK(22) MARK(23) MARK(24) MARK(25)
					MARK(26) MARK(27) MARK(28) MARK(29) MARK(30) MARK(31)
	}
}

#endif

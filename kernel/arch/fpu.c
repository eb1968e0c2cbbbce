/*
 * FPU, SSE, AVX, AVX-512 state by XSAVE (SDM 1 chapter 13), FXSAVE on machines without it.
 *
 * The standard (not compacted) format is used everywhere, because it is also what a signal frame
 * shows to programs. AMX tiles are left off: XCR0 bits 17 and 18 stay clear.
 */
#include "arch/context.h"
#include "arch/cpu.h"
#include "arch/percpu.h"
#include "lib/string.h"
#include <asm/errno.h>

#define CR4_OSXSAVE	 (1u << 18)
#define XCR0_USED	 0xe7UL /* x87, SSE, AVX, opmask, ZMM_Hi256, Hi16_ZMM */
#define FXSAVE_SIZE	 512
#define XSAVE_HEADER	 64
#define MXCSR_DEFAULT	 0x1f80u
#define MXCSR_OFFSET	 24
#define XSTATE_BV_OFFSET 512

static bool
has_xsave(void)
{
	return READ_CR(4) & CR4_OSXSAVE;
}

static u64
xcr0_read(void)
{
	u32 lo, hi;

	__asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	return (u64)hi << 32 | lo;
}

void
fpu_init_core(void)
{
	struct arch_core *c = arch_core();
	u32 r[4];

	c->fpu_features = 3;
	c->fpu_bytes = FXSAVE_SIZE + XSAVE_HEADER;
	cpuid(1, 0, r);
	if (!(r[2] & (1u << 26)))
		return;
	WRITE_CR(4, READ_CR(4) | CR4_OSXSAVE);
	cpuid(0xd, 0, r);
	__asm__ volatile("xsetbv" : : "c"(0), "a"(r[0] & (u32)XCR0_USED), "d"(0));
	__asm__ volatile("fninit");
	c->fpu_features = xcr0_read();
	cpuid(0xd, 0, r); /* EBX: size for what XCR0 has on now */
	c->fpu_bytes = r[1];
}

size_t
fpu_area_size(void)
{
	return arch_core()->fpu_bytes;
}

u64
fpu_features(void)
{
	return arch_core()->fpu_features;
}

void
fpu_area_init(void *area)
{
	u16 fcw = 0x37f;
	u32 mxcsr = MXCSR_DEFAULT;

	memset(area, 0, fpu_area_size());
	memcpy(area, &fcw, sizeof(fcw));
	memcpy((char *)area + MXCSR_OFFSET, &mxcsr, sizeof(mxcsr));
}

void
fpu_save(void *area)
{
	if (has_xsave())
		__asm__ volatile("xsave64 (%0)" : : "r"(area), "a"(-1), "d"(-1) : "memory");
	else
		__asm__ volatile("fxsave64 (%0)" : : "r"(area) : "memory");
}

void
fpu_restore(const void *area)
{
	if (has_xsave())
		__asm__ volatile("xrstor64 (%0)" : : "r"(area), "a"(-1), "d"(-1) : "memory");
	else
		__asm__ volatile("fxrstor64 (%0)" : : "r"(area) : "memory");
}

int
fpu_area_sanitise(void *area, size_t size)
{
	char *a = area;
	u64 bv;
	u32 mxcsr;

	if (size < FXSAVE_SIZE + XSAVE_HEADER)
		return -EINVAL;
	memcpy(&mxcsr, a + MXCSR_OFFSET, sizeof(mxcsr));
	mxcsr &= 0xffff; /* reserved bits fault in XRSTOR */
	memcpy(a + MXCSR_OFFSET, &mxcsr, sizeof(mxcsr));
	memcpy(&bv, a + XSTATE_BV_OFFSET, sizeof(bv));
	bv &= fpu_features();
	memcpy(a + XSTATE_BV_OFFSET, &bv, sizeof(bv));
	memset(a + XSTATE_BV_OFFSET + 8, 0, XSAVE_HEADER - 8); /* XCOMP_BV and reserved */
	return 0;
}

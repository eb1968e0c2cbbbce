/* Checks the offsets that assembly uses; no code. */
#include "arch/offsets.h"
#include "arch/percpu.h"
#include "arch/trap.h"

#define CHECK(value, type, member) _Static_assert((value) == offsetof(type, member), #member)

CHECK(CORE_SELF, struct arch_core, self);
CHECK(CORE_CURRENT, struct arch_core, current);
CHECK(CORE_KERNEL_RSP, struct arch_core, kernel_rsp);
CHECK(CORE_USER_RSP, struct arch_core, user_rsp);
CHECK(CORE_CANARY, struct arch_core, canary);
CHECK(CORE_SMAP, struct arch_core, smap);
CHECK(FRAME_R15, struct trapframe, r15);
CHECK(FRAME_RCX, struct trapframe, rcx);
CHECK(FRAME_R11, struct trapframe, r11);
CHECK(FRAME_ORIG_RAX, struct trapframe, orig_rax);
CHECK(FRAME_VECTOR, struct trapframe, vector);
CHECK(FRAME_RIP, struct trapframe, rip);
CHECK(FRAME_CS, struct trapframe, cs);
CHECK(FRAME_RFLAGS, struct trapframe, rflags);
CHECK(FRAME_RSP, struct trapframe, rsp);
CHECK(FRAME_SS, struct trapframe, ss);
_Static_assert(FRAME_SIZE == sizeof(struct trapframe), "trapframe");

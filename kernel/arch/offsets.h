/*
 * Offsets that assembly uses. offsets.c asserts each against the C structure it stands for, so a
 * change of either side that is not made on both does not compile.
 */
#ifndef ARCH_OFFSETS_H
#define ARCH_OFFSETS_H

#define CORE_SELF	8 * 0
#define CORE_CURRENT	8 * 1
#define CORE_KERNEL_RSP 8 * 2
#define CORE_USER_RSP	8 * 3
#define CORE_CANARY	8 * 5
#define CORE_SMAP	112

#define FRAME_R15      0
#define FRAME_RCX      88
#define FRAME_R11      48
#define FRAME_ORIG_RAX 120
#define FRAME_VECTOR   128
#define FRAME_RIP      144
#define FRAME_CS       152
#define FRAME_RFLAGS   160
#define FRAME_RSP      168
#define FRAME_SS       176
#define FRAME_SIZE     184

#endif

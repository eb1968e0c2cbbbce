/* Constants that entry.S shares with boot.h, which asserts them. */
#ifndef BOOT_BOOT_ASM_H
#define BOOT_BOOT_ASM_H

#define BOOT_BY_MULTIBOOT 1
#define BOOT_BY_PVH	  2

#define BOOT_SEL_CODE64 0x08
#define BOOT_SEL_DATA	0x10
#define BOOT_SEL_CODE32 0x18

#define SLOT_APIC_ID 0
#define SLOT_STATE   4
#define SLOT_STACK   8
#define SLOT_CORE    16
#define SLOT_CR3     24
#define SLOT_ENTRY   32
#define SLOT_ARG     40
#define SLOT_SIZE    48

#define SLOT_FREE    0
#define SLOT_AWAITED 1
#define SLOT_ALIVE   2
#define SLOT_LOST    3 /* came too late or never */
#define SLOT_FIT     4 /* runs C and is like the boot core */
#define SLOT_UNFIT   5

#define BOOT_STATE_SIZE 65536

#endif

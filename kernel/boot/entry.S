/*
 * From the boot loader, or from a start-up IPI, to C in 64-bit mode at the kernel's addresses.
 *
 * The boot core arrives in 32-bit protected mode without paging, by Multiboot 1 (EAX 0x2badb002,
 * EBX information) or by PVH (EBX start information). It fills the boot page tables: the first
 * 4 GiB as identity and as physmap, the last of these GiB uncached under MMIO_BASE, and kcode and
 * krodata on their staging copies. kdata is not mapped: whoever touched the pristine copy would
 * fault. The other cores arrive in real mode at the trampoline, a page below 1 MiB, and find their
 * slot by their APIC id; several may do so at once, so nothing is shared before the slot.
 */
#include "arch/layout.h"
#include "boot/boot_asm.h"

#define CR0_PG_WP	0x80010000
#define CR0_PE		1
#define CR4_PAE		0x20
#define MSR_EFER	0xc0000080
#define EFER_LME_NXE	0x900
#define MSR_GS_BASE	0xc0000101
#define PTE_TABLE	3		/* present, writable */
#define PTE_2M		0x83		/* present, writable, page size */
#define PTE_2M_UC	0x9b		/* and PWT, PCD */
#define COM1		0x3f8

	.section .boot.header, "a"
	.balign 4
multiboot_header:
	.long	0x1badb002
	.long	0x00010003		/* page-aligned modules, memory information, addresses */
	.long	-(0x1badb002 + 0x00010003)
	.long	multiboot_header
	.long	boot_low_start
	.long	boot_load_end
	.long	boot_low_end
	.long	boot_multiboot_entry

	.section .note.pvh, "a", @note
	.balign 4
	.long	4, 4, 18		/* XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz	"Xen"
	.long	boot_pvh_entry

	.section .boot.text, "ax"
	.code32
	.globl	boot_multiboot_entry
boot_multiboot_entry:
	cli
	movl	$BOOT_BY_MULTIBOOT, %ebp
	cmpl	$0x2badb002, %eax
	je	1f
	movl	$bad_loader, %esi
	jmp	boot_die
	.globl	boot_pvh_entry
boot_pvh_entry:
	cli
	movl	$BOOT_BY_PVH, %ebp
1:	cld
	movl	$boot_stack_top, %esp
	rdtsc
	movl	%eax, boot_tsc
	movl	%edx, boot_tsc + 4
	movl	%ebx, %edi		/* CPUID takes EBX */
	movl	$0x80000000, %eax
	cpuid
	cmpl	$0x80000001, %eax
	jb	2f
	movl	$0x80000001, %eax
	cpuid
	andl	$0x20100000, %edx	/* long mode and NX */
	cmpl	$0x20100000, %edx
	je	3f
2:	movl	$bad_cpu, %esi
	jmp	boot_die
3:	call	fill_tables
	call	enable_long_mode
	ljmpl	$BOOT_SEL_CODE64, $boot_entry64

/* The boot page tables. Clobbers EAX, ECX, EDX. */
fill_tables:
	movl	$boot_pdpt + PTE_TABLE, %eax
	movl	%eax, boot_pml4
	movl	%eax, boot_pml4 + 256 * 8
	movl	$boot_pdpt_mmio + PTE_TABLE, boot_pml4 + 448 * 8
	movl	$boot_pdpt_high + PTE_TABLE, boot_pml4 + 511 * 8
	movl	$boot_pds + PTE_TABLE, %eax
	xorl	%ecx, %ecx
1:	movl	%eax, boot_pdpt(, %ecx, 8)
	addl	$4096, %eax
	incl	%ecx
	cmpl	$4, %ecx
	jne	1b
	movl	$PTE_2M, %eax
	xorl	%ecx, %ecx
2:	movl	%eax, boot_pds(, %ecx, 8)
	addl	$0x200000, %eax
	incl	%ecx
	cmpl	$2048, %ecx
	jne	2b
	movl	$boot_pd_mmio + PTE_TABLE, boot_pdpt_mmio + 3 * 8
	movl	$0xc0000000 + PTE_2M_UC, %eax
	xorl	%ecx, %ecx
3:	movl	%eax, boot_pd_mmio(, %ecx, 8)
	addl	$0x200000, %eax
	incl	%ecx
	cmpl	$512, %ecx
	jne	3b
	movl	$boot_pd_high + PTE_TABLE, boot_pdpt_high + 510 * 8
	movl	$boot_pt_kcode + PTE_TABLE, boot_pd_high
	movl	$boot_pt_krodata + PTE_TABLE, boot_pd_high + 8
	movl	$boot_staging_kcode + 1, %eax	/* read-only */
	movl	$boot_staging_krodata + 1, %edx
	xorl	%ecx, %ecx
4:	movl	%eax, boot_pt_kcode(, %ecx, 8)
	movl	%edx, boot_pt_krodata(, %ecx, 8)
	addl	$4096, %eax
	addl	$4096, %edx
	incl	%ecx
	cmpl	$512, %ecx
	jne	4b
	ret

/* To compatibility mode on the boot tables. Clobbers EAX, ECX, EDX. */
enable_long_mode:
	movl	%cr4, %eax
	orl	$CR4_PAE, %eax
	movl	%eax, %cr4
	movl	$boot_pml4, %eax
	movl	%eax, %cr3
	movl	$MSR_EFER, %ecx
	rdmsr
	orl	$EFER_LME_NXE, %eax
	wrmsr
	movl	%cr0, %eax
	orl	$CR0_PG_WP, %eax
	movl	%eax, %cr0
	lgdtl	boot_gdt_pointer
	ret

/* ESI: text. Says it on the serial line and stops. */
boot_die:
	lodsb
	testb	%al, %al
	jz	2f
	movb	%al, %ah
	movw	$COM1 + 5, %dx
1:	inb	%dx, %al
	testb	$0x20, %al
	jz	1b
	movb	%ah, %al
	movw	$COM1, %dx
	outb	%al, %dx
	jmp	boot_die
2:	cli
	hlt
	jmp	2b

	.code64
boot_entry64:
	movl	$BOOT_SEL_DATA, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	movabsq	$PHYSMAP_BASE, %r12
	leaq	boot_stack_top(%r12), %rsp
	leaq	boot_state_area(%r12), %r13
	xorl	%eax, %eax		/* GS base 0: no core structure yet; the guard value at */
	xorl	%edx, %edx		/* gs:40 is then a word of the identity map's first page */
	movl	$MSR_GS_BASE, %ecx
	wrmsr
	movl	%ebp, %esi		/* how */
	movl	%edi, %edx		/* information */
	leaq	boot_low(%r12), %rdi
	movq	%r13, %rcx		/* state */
	xorl	%ebp, %ebp
	movq	$boot_main, %rax
	call	*%rax
	ud2

/* --- the other cores --- */
	.globl	boot_trampoline
	.code16
boot_trampoline:
	cli
	cld
	movw	%cs, %ax
	movw	%ax, %ds
	lgdtl	trampoline_gdt_pointer - boot_trampoline
	movl	%cr0, %eax
	orl	$CR0_PE, %eax
	movl	%eax, %cr0
	ljmpl	$BOOT_SEL_CODE32, $core_entry32
	.balign 4
trampoline_gdt_pointer:
	.word	boot_gdt_end - boot_gdt - 1
	.long	boot_gdt
boot_trampoline_end:

	.code32
core_entry32:
	movl	$BOOT_SEL_DATA, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	movl	%cr0, %eax
	andl	$0x9fffffff, %eax	/* caches on: CD and NW are set after INIT */
	movl	%eax, %cr0
	/* no stack yet, so this is enable_long_mode once more */
	movl	%cr4, %eax
	orl	$CR4_PAE, %eax
	movl	%eax, %cr4
	movl	$boot_pml4, %eax
	movl	%eax, %cr3
	movl	$MSR_EFER, %ecx
	rdmsr
	orl	$EFER_LME_NXE, %eax
	wrmsr
	movl	%cr0, %eax
	orl	$CR0_PG_WP, %eax
	movl	%eax, %cr0
	ljmpl	$BOOT_SEL_CODE64, $core_entry64

	.code64
core_entry64:
	xorl	%eax, %eax
	cpuid
	cmpl	$0xb, %eax
	jb	1f
	movl	$0xb, %eax
	xorl	%ecx, %ecx
	cpuid
	testl	%ebx, %ebx
	jnz	2f
1:	movl	$1, %eax
	cpuid
	movl	%ebx, %edx
	shrl	$24, %edx
2:	leaq	boot_slots, %rbx
	movl	$MAX_CORES, %ecx
3:	cmpl	%edx, SLOT_APIC_ID(%rbx)
	jne	4f
	movl	$SLOT_AWAITED, %eax
	movl	$SLOT_ALIVE, %esi
	lock cmpxchgl %esi, SLOT_STATE(%rbx)
	je	5f
4:	addq	$SLOT_SIZE, %rbx
	decl	%ecx
	jnz	3b
	/* Nobody waits for this core (any more): it stays out. */
6:	cli
	hlt
	jmp	6b
5:	movabsq	$PHYSMAP_BASE, %r12
	movq	SLOT_CORE(%rbx), %rax
	movq	%rax, %rdx
	shrq	$32, %rdx
	movl	$MSR_GS_BASE, %ecx
	wrmsr
	movq	SLOT_STACK(%rbx), %rsp
	movq	SLOT_CR3(%rbx), %rax
	movq	SLOT_ENTRY(%rbx), %rdx
	movq	SLOT_ARG(%rbx), %rdi
	xorl	%ebp, %ebp
	movq	$boot_core_high, %rcx
	jmp	*%rcx

	.section .text.boot_core_high, "ax"
/* Leaves the boot tables for the cluster's (or keeps them) and calls the core's entry. */
boot_core_high:
	movq	%rax, %cr3
	call	*%rdx
	ud2

	.section .boot.data, "aw"
	.balign 16
boot_gdt:
	.quad	0
	.quad	0x00af9a000000ffff	/* 64-bit code */
	.quad	0x00cf92000000ffff	/* data */
	.quad	0x00cf9a000000ffff	/* 32-bit code */
boot_gdt_end:
boot_gdt_pointer:
	.word	boot_gdt_end - boot_gdt - 1
	.long	boot_gdt
	.balign 8
	/* struct boot_low of boot.h */
boot_low:
boot_tsc:
	.quad	0
	.quad	boot_pml4
	.quad	boot_trampoline
	.quad	boot_trampoline_end - boot_trampoline
	.quad	boot_slots
	.quad	boot_low_start
	.quad	boot_low_end
	.quad	boot_staging_kcode
	.quad	boot_staging_krodata
	.quad	boot_staging_kdata
	.quad	boot_kcode_size
	.quad	boot_krodata_size
	.quad	boot_kdata_file_size
	.quad	boot_kdata_size
	.quad	boot_kshared_start
	.quad	boot_kshared_size
bad_loader:
	.asciz	"holdfast: not started by a Multiboot loader\r\n"
bad_cpu:
	.asciz	"holdfast: this processor has no 64-bit mode or no NX\r\n"

	.section .boot.bss, "aw", @nobits
	.balign 4096
boot_pml4:	.skip 4096
boot_pdpt:	.skip 4096
boot_pds:	.skip 4096 * 4
boot_pdpt_mmio:	.skip 4096
boot_pd_mmio:	.skip 4096
boot_pdpt_high:	.skip 4096
boot_pd_high:	.skip 4096
boot_pt_kcode:	.skip 4096
boot_pt_krodata: .skip 4096
boot_stack:	.skip 16384
boot_stack_top:
boot_slots:	.skip SLOT_SIZE * MAX_CORES
	.balign 64
boot_state_area: .skip BOOT_STATE_SIZE

	.section .note.GNU-stack, "", @progbits

/*
 * The ways into the kernel and back.
 *
 * System call (SYSCALL, SDM 2B): the CPU gives RIP in RCX and RFLAGS in R11, and changes neither
 * stack nor GS. Interrupts are off (IA32_FMASK).
 *
 *	swapgs; stack := kernel_rsp; the frame is pushed top down:
 *	ss rsp rflags cs rip | error vector orig_rax | rdi rsi rdx rcx rax r8 r9 r10 r11 | rbx rbp r12..r15
 *	trap_syscall(frame) -> ... -> user_return, interrupts off
 *	sysretq if frame still says what SYSRET can restore, else iretq
 *
 * Exceptions and interrupts: one stub for each vector pushes a zero where the CPU gives no error
 * code, and the vector; the frame is the same. GS is swapped when CS says user mode. NMI, double
 * fault and machine check have stacks of their own (IST) and may hit between the entry and its
 * swapgs, so they look at the GS base instead; they end in a panic.
 *
 * The direction flag and AC are cleared on every entry, so SMAP holds in the whole kernel.
 */
#include "arch/offsets.h"

#define SEL_KDATA 0x10
#define SEL_UDATA 0x1b
#define SEL_UCODE 0x23
#define MSR_GS_BASE 0xc0000101

	.macro	CLAC_IF_SMAP
	cmpb	$0, %gs:CORE_SMAP
	je	.Lno_smap\@
	clac
.Lno_smap\@:
	.endm

	.macro	PUSH_REGS
	pushq	%rdi
	pushq	%rsi
	pushq	%rdx
	pushq	%rcx
	pushq	%rax
	pushq	%r8
	pushq	%r9
	pushq	%r10
	pushq	%r11
	pushq	%rbx
	pushq	%rbp
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	.endm

	.macro	POP_REGS
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbp
	popq	%rbx
	popq	%r11
	popq	%r10
	popq	%r9
	popq	%r8
	popq	%rax
	popq	%rcx
	popq	%rdx
	popq	%rsi
	popq	%rdi
	.endm

	.section .text.entry, "ax"

	.globl	syscall_entry
	.type	syscall_entry, @function
syscall_entry:
	swapgs
	movq	%rsp, %gs:CORE_USER_RSP
	movq	%gs:CORE_KERNEL_RSP, %rsp
	pushq	$SEL_UDATA
	pushq	%gs:CORE_USER_RSP
	pushq	%r11
	pushq	$SEL_UCODE
	pushq	%rcx
	pushq	$0
	pushq	$256
	pushq	%rax
	PUSH_REGS
	xorl	%ebp, %ebp
	movq	%rsp, %rdi
	call	trap_syscall
	/* rax: whether SYSRET can restore the frame */
	testb	%al, %al
	jz	trap_exit
	POP_REGS
	/* rcx and r11 hold rip and rflags: trap_syscall checked that */
	movq	FRAME_RSP-FRAME_ORIG_RAX(%rsp), %rsp
	swapgs
	sysretq
	.size	syscall_entry, . - syscall_entry

	/* Leaves with the frame at rsp, interrupts off. */
	.globl	trap_exit
trap_exit:
	testb	$3, FRAME_CS(%rsp)
	jz	1f
	swapgs
1:	POP_REGS
	addq	$24, %rsp
	iretq

	/* trap_enter_user(frame): as if a trap ended. */
	.globl	trap_enter_user
	.type	trap_enter_user, @function
trap_enter_user:
	cli
	movq	%rdi, %rsp
	movq	%rsp, %rdi
	call	trap_leave
	jmp	trap_exit
	.size	trap_enter_user, . - trap_enter_user

trap_common:
	PUSH_REGS
	cld
	testb	$3, FRAME_CS(%rsp)
	jz	1f
	swapgs
	xorl	%ebp, %ebp
1:	CLAC_IF_SMAP
	movq	%rsp, %rdi
	call	trap_dispatch
	jmp	trap_exit

	/* On an IST stack: GS may be either; the kernel's base has its top bit set. */
trap_paranoid:
	PUSH_REGS
	cld
	movl	$MSR_GS_BASE, %ecx
	rdmsr
	testl	%edx, %edx
	js	1f
	swapgs
1:	movq	%rsp, %rdi
	call	trap_fatal
	ud2

	.macro	STUB vector
	.balign	16
	.if	\vector == 8 || (\vector >= 10 && \vector <= 14) || \vector == 17 || \vector == 21 || \vector == 29 || \vector == 30
	.else
	pushq	$0
	.endif
	pushq	$\vector
	pushq	$-1
	.if	\vector == 2 || \vector == 8 || \vector == 18
	jmp	trap_paranoid
	.else
	jmp	trap_common
	.endif
	.endm

	.altmacro
	.balign	16
	.globl	trap_stubs
trap_stubs:
	.set	v, 0
	.rept	256
	STUB	%v
	.set	v, v + 1
	.endr
	.noaltmacro

	/* context_switch(u64 *save, u64 load) */
	.text
	.globl	context_switch
	.type	context_switch, @function
context_switch:
	pushq	%rbp
	pushq	%rbx
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	movq	%rsp, (%rdi)
	movq	%rsi, %rsp
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbx
	popq	%rbp
	ret
	.size	context_switch, . - context_switch

	/* The first return of a new thread: r12 is the function, r13 its argument. */
	.globl	context_first_entry
context_first_entry:
	movq	%r13, %rdi
	xorl	%ebp, %ebp
	call	*%r12
	ud2

	.section .note.GNU-stack, "", @progbits

/*
 * Copies from and to user memory, whose faults end up at a fix-up (trap.c looks the table up).
 *
 * Each routine opens SMAP only inside. A fault in a block of eight words leaves the registers at
 * the start of that block; the byte loop then goes on as far as it can, so the count of bytes not
 * copied is exact.
 */
#include "arch/offsets.h"

	.macro	USER_OPEN
	cmpb	$0, %gs:CORE_SMAP
	je	.Lopen\@
	stac
.Lopen\@:
	.endm

	.macro	USER_CLOSE
	cmpb	$0, %gs:CORE_SMAP
	je	.Lclose\@
	clac
.Lclose\@:
	.endm

	/* From `start` up to `end`, a fault continues at `fixup`. */
	.macro	FIXUP start, end, fixup
	.pushsection .ex_table, "a"
	.balign	8
	.quad	\start, \end, \fixup
	.popsection
	.endm

	.macro	FUNC name
	.globl	\name
	.type	\name, @function
	.balign	16
\name:
	.endm

	.text

	/* size_t arch_copy_user(void *dst, const void *src, size_t n): bytes not copied */
FUNC arch_copy_user
	USER_OPEN
	cmpq	$64, %rdx
	jb	2f
1:	movq	(%rsi), %rax
	movq	8(%rsi), %rcx
	movq	16(%rsi), %r8
	movq	24(%rsi), %r9
	movq	%rax, (%rdi)
	movq	%rcx, 8(%rdi)
	movq	%r8, 16(%rdi)
	movq	%r9, 24(%rdi)
	movq	32(%rsi), %rax
	movq	40(%rsi), %rcx
	movq	48(%rsi), %r8
	movq	56(%rsi), %r9
	movq	%rax, 32(%rdi)
	movq	%rcx, 40(%rdi)
	movq	%r8, 48(%rdi)
	movq	%r9, 56(%rdi)
	addq	$64, %rsi
	addq	$64, %rdi
	subq	$64, %rdx
	cmpq	$64, %rdx
	jae	1b
2:	cmpq	$8, %rdx
	jb	4f
3:	movq	(%rsi), %rax
	movq	%rax, (%rdi)
	addq	$8, %rsi
	addq	$8, %rdi
	subq	$8, %rdx
	cmpq	$8, %rdx
	jae	3b
4:	testq	%rdx, %rdx
	jz	6f
5:	movb	(%rsi), %al
	movb	%al, (%rdi)
	incq	%rsi
	incq	%rdi
	decq	%rdx
	jnz	5b
6:	USER_CLOSE
	movq	%rdx, %rax
	ret
	FIXUP	1b, 4b, 4b
	FIXUP	5b, 6b, 6b

	/* size_t arch_clear_user(void *dst, size_t n): bytes not cleared */
FUNC arch_clear_user
	USER_OPEN
	xorl	%eax, %eax
	cmpq	$8, %rsi
	jb	2f
1:	movq	%rax, (%rdi)
	addq	$8, %rdi
	subq	$8, %rsi
	cmpq	$8, %rsi
	jae	1b
2:	testq	%rsi, %rsi
	jz	4f
3:	movb	%al, (%rdi)
	incq	%rdi
	decq	%rsi
	jnz	3b
4:	USER_CLOSE
	movq	%rsi, %rax
	ret
	FIXUP	1b, 2b, 2b
	FIXUP	3b, 4b, 4b

	/* long arch_copy_user_string(char *dst, const char *src, size_t n) */
FUNC arch_copy_user_string
	USER_OPEN
	xorl	%eax, %eax
1:	cmpq	%rdx, %rax
	jae	3f
2:	movb	(%rsi,%rax), %cl
	movb	%cl, (%rdi,%rax)
	testb	%cl, %cl
	jz	3f
	incq	%rax
	jmp	1b
3:	USER_CLOSE
	ret
4:	USER_CLOSE
	movq	$-14, %rax
	ret
	FIXUP	2b, 3b, 4b

	/* int arch_user_load32(u32 *out, const u32 *uaddr) */
FUNC arch_user_load32
	USER_OPEN
1:	movl	(%rsi), %ecx
2:	USER_CLOSE
	movl	%ecx, (%rdi)
	xorl	%eax, %eax
	ret
	FIXUP	1b, 2b, user_word_fault

	/* int arch_user_cas32(u32 *old_out, u32 *uaddr, u32 expected, u32 desired) */
FUNC arch_user_cas32
	movl	%edx, %eax
	USER_OPEN
1:	lock cmpxchgl %ecx, (%rsi)
2:	USER_CLOSE
	movl	%eax, (%rdi)
	xorl	%eax, %eax
	ret
	FIXUP	1b, 2b, user_word_fault

	/* int arch_user_xchg32(u32 *old_out, u32 *uaddr, u32 value) */
FUNC arch_user_xchg32
	USER_OPEN
1:	xchgl	%edx, (%rsi)
2:	USER_CLOSE
	movl	%edx, (%rdi)
	xorl	%eax, %eax
	ret
	FIXUP	1b, 2b, user_word_fault

user_word_fault:
	USER_CLOSE
	movl	$-14, %eax
	ret

	.section .note.GNU-stack, "", @progbits

/* Files that the kernel image carries, in read-only data. */
	.section .rodata.embed, "a", @progbits

	.globl	embed_init_start, embed_init_end, embed_vdso_start, embed_vdso_end
	.balign	16
embed_init_start:
	.incbin	EMBED_INIT
embed_init_end:
	.balign	16
embed_vdso_start:
	.incbin	EMBED_VDSO
embed_vdso_end:

	.section .note.GNU-stack, "", @progbits

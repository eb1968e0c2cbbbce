# Programs of ours that the kernel image carries: init and the vDSO; and the names of all calls.
K_OBJ += $(B)/obj/gen/names.o

$(B)/gen/names.c: tools/gen-call-names /usr/include/x86_64-linux-gnu/asm/unistd_64.h
	@mkdir -p $(@D)
	tools/gen-call-names /usr/include/x86_64-linux-gnu/asm/unistd_64.h $@

$(B)/user/init: $(wildcard user/init/*.c user/init/*.h)
	@mkdir -p $(@D)
	musl-gcc -static -Os -s -Wall -Wextra -Werror -o $@ $(wildcard user/init/*.c)

$(B)/user/vdso.so: user/vdso/vdso.c user/vdso/vdso.ld kernel/proc/vdso_data.h
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -O2 -fPIC -shared -nostdlib -ffreestanding -fno-stack-protector \
		-fno-asynchronous-unwind-tables -fvisibility=hidden -Wall -Wextra -Werror \
		-Wl,-soname,linux-vdso.so.1 -Wl,--hash-style=both -Wl,--build-id=none \
		-Wl,-Bsymbolic -Wl,-z,max-page-size=4096 -Wl,-z,noexecstack \
		-Wl,-T,user/vdso/vdso.ld -Ikernel -o $@ $<
	strip --strip-unneeded $@

$(B)/obj/kernel/proc/embed.S.o: $(B)/user/init $(B)/user/vdso.so
$(B)/obj/kernel/proc/embed.S.o: K_CFLAGS += -DEMBED_INIT='"$(B)/user/init"' -DEMBED_VDSO='"$(B)/user/vdso.so"'

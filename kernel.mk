# --- kernel ---
# The kernel image. Sources are found by wildcard; a feature is a file.
B ?= build
K_FOLDERS := lib arch core cluster mm dev file net proc store linux boot
K_C := $(wildcard $(K_FOLDERS:%=kernel/%/*.c))
K_S := $(wildcard $(K_FOLDERS:%=kernel/%/*.S))
K_OBJ = $(K_C:%.c=$(B)/obj/%.o) $(K_S:%.S=$(B)/obj/%.S.o) $(B)/obj/gen/calls.o

CC ?= gcc
K_WARN := -Wall -Wextra -Wshadow -Wmissing-prototypes -Wstrict-prototypes -Werror \
	-Wno-unused-parameter -Wvla -Wno-sign-compare -Wno-missing-field-initializers
K_CFLAGS := -std=gnu11 -O2 -g -ffreestanding -fno-pic -fno-pie -mcmodel=kernel -mno-red-zone \
	-mgeneral-regs-only -fno-omit-frame-pointer -fno-strict-aliasing -fno-common \
	-fno-asynchronous-unwind-tables -fno-delete-null-pointer-checks -fwrapv \
	-fstack-protector-strong -mstack-protector-guard=tls -mstack-protector-guard-reg=gs \
	-mstack-protector-guard-offset=40 -ffunction-sections -fdata-sections \
	$(K_WARN) -Ikernel -I$(B)/gen $(K_EXTRA)
ifdef SAN
K_CFLAGS += -DHOLDFAST_DEBUG -DHOLDFAST_KASAN -fsanitize=undefined -fno-sanitize=alignment
# Not checked: what keeps the poison, and what runs before there is any.
K_RAW := mm/kasan mm/frame mm/buddy mm/slab core/ubsan
$(filter-out $(K_RAW:%=$(B)/obj/kernel/%.o) $(B)/obj/kernel/boot/% %.S.o,$(K_OBJ)): K_CFLAGS += \
	-fsanitize=kernel-address --param asan-stack=0 --param asan-globals=0 \
	--param asan-instrumentation-with-call-threshold=0
else
K_C := $(filter-out kernel/mm/kasan.c,$(K_C))
endif
ifdef DEBUG
K_CFLAGS += -DHOLDFAST_DEBUG
endif
K_LDFLAGS := -nostdlib -static -z max-page-size=4096 -z noexecstack --gc-sections --build-id=none \
	-T kernel/boot/kernel.ld

$(B)/gen/calls.h $(B)/gen/calls.c &: tools/gen-calls $(wildcard kernel/linux/*.tbl)
	@mkdir -p $(B)/gen
	tools/gen-calls $(B)/gen $(wildcard kernel/linux/*.tbl)

# Its loops must not become calls of themselves.
$(B)/obj/kernel/lib/string.o: K_CFLAGS += -fno-tree-loop-distribute-patterns

$(B)/obj/%.o: %.c | $(B)/gen/calls.h
	@mkdir -p $(@D)
	@echo "  cc      $<"; $(CC) $(K_CFLAGS) -MMD -MP -c -o $@ $<

$(B)/obj/%.S.o: %.S | $(B)/gen/calls.h
	@mkdir -p $(@D)
	@echo "  as      $<"; $(CC) $(K_CFLAGS) -D__ASSEMBLER__ -MMD -MP -c -o $@ $<

include kernel/net/lwip/lwip.mk
include kernel/proc/proc.mk

# Linked twice: the first pass gives the addresses for the table of function names (read-only data,
# a segment of its own, so the code does not move).
$(B)/gen/symbols0.c: tools/gen-symbols
	@mkdir -p $(@D)
	tools/gen-symbols < /dev/null > $@

$(B)/holdfast0.elf: $(K_OBJ) $(K_LIBS) $(B)/obj/gen/symbols0.o kernel/boot/kernel.ld
	@echo "  ld      $@"; ld $(K_LDFLAGS) -o $@ $(K_OBJ) $(B)/obj/gen/symbols0.o $(K_LIBS)

$(B)/gen/symbols1.c: $(B)/holdfast0.elf tools/gen-symbols
	nm $< | tools/gen-symbols > $@

$(B)/obj/gen/%.o: $(B)/gen/%.c
	@mkdir -p $(@D)
	@$(CC) $(K_CFLAGS) -c -o $@ $<

$(B)/holdfast.elf: $(B)/holdfast0.elf $(B)/obj/gen/symbols1.o
	@echo "  ld      $@"; ld $(K_LDFLAGS) -o $@ $(K_OBJ) $(B)/obj/gen/symbols1.o $(K_LIBS)

# The same without the Multiboot magic: QEMU then takes the PVH entry, and maps the root image
# instead of reading it into a buffer first. This is what `holdfast run` starts.
$(B)/holdfast-pvh.elf: $(B)/holdfast.elf
	LC_ALL=C sed 's/\x02\xb0\xad\x1b/\x00\x00\x00\x00/' $< > $@

-include $(K_OBJ:.o=.d)

# Unit tests of what is pure, on the host, under ASan and UBSan.
H_TESTS := $(patsubst tests/host/%.c,$(B)/host/%,$(wildcard tests/host/*_test.c))
H_CFLAGS := -std=gnu11 -O1 -g -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare -DHOLDFAST_HOST \
	-fsanitize=address,undefined -fno-sanitize-recover=all -Ikernel

H_PURE := $(wildcard kernel/lib/*.c) kernel/mm/buddy.c
H_OBJ := $(H_PURE:%.c=$(B)/host/%.o)

$(B)/host/%.o: %.c $(wildcard kernel/lib/*.h)
	@mkdir -p $(@D)
	@$(CC) $(H_CFLAGS) -c -o $@ $<

$(B)/host/libpure.a: $(H_OBJ)
	@rm -f $@; ar rcs $@ $^

$(B)/host/%: tests/host/%.c $(B)/host/libpure.a
	@echo "  test    $<"; $(CC) $(H_CFLAGS) -o $@ $^ -lcmocka

.PHONY: host-tests
host-tests: $(H_TESTS)
	@for t in $(H_TESTS); do $$t || exit 1; done

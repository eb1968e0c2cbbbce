# Holdfast's front door.
#
#   make run                 the Erlang shell on this terminal
#   make test                every test; ends with 'N passed, N failed'
#   make test-disk           the tests that boot, with a checkpoint each 100 ms
#   make check               style and static checks, silent when right
#   make bench               the table of figures, Linux beside Holdfast
#   make programs            Python, Redis, stress-ng and what else users run
#   make boot-gate N=200     boot N times, every one has to succeed
#   make powercut N=200      a machine that loses power N times and has to go on each time
#   make crashboot N=200     N of such disks, from the log of a real run, started
#   make faults STEP=1       the failure matrix, every place of each row, or one in STEP
#   make bank N=100          a bank in Mnesia, its ledger on this host, and N power cuts
#   make long-checkpoint T=600   BEAM's tests with a checkpoint each 10 ms, T seconds
#   make crashstates N=1000000   what power cuts leave of a disk, and what recovery finds
#   make fuzz T=60           the readers of foreign data under libFuzzer, T seconds each
#   make fuzz-calls T=600    random arguments to every system call in a guest, T seconds
#   make fuzz-records N=100  epochs whose records lie: a machine is resumed from each
#   make storm T=600         memory calls from every cluster, T seconds, rules checked
#   make abi                 the Linux programs of tests/abi, as build/abi/NAME
#   make debug               boot halted, with gdb attached
#   make deps                install what is missing on this host
#   make clean               remove build/ but keep the downloads

.DEFAULT_GOAL := all
SHELL         := /bin/sh
PYTHON        ?= /usr/bin/python3
BUILD         ?= build

KERNEL        := $(BUILD)/holdfast.elf $(BUILD)/holdfast-pvh.elf
export HOLDFAST_BUILD := $(abspath $(BUILD))
B             := $(BUILD)

.PHONY: all help deps run test test-disk check bench boot-gate powercut bank long-checkpoint crashboot faults programs debug clean \
	distclean

help:
	@sed -n '/^#   make/s/^#   //p' Makefile

deps:
	@sh tools/deps.sh

run: deps
	@$(MAKE) --no-print-directory all
	@./holdfast run $(RUN)

all: $(KERNEL) $(BUILD)/holdfast-store

test: deps
	@$(MAKE) --no-print-directory all
	@$(PYTHON) tools/test.py $(if $(ONLY),--only $(ONLY))

check: deps
	@$(PYTHON) tools/check/all.py

bench: deps
	@$(MAKE) --no-print-directory all
	@$(PYTHON) bench/bench.py $(BENCH)

boot-gate: deps
	@$(MAKE) --no-print-directory all
	@$(PYTHON) tests/system/boot_gate.py --count $(or $(N),200)

powercut: deps
	@$(MAKE) --no-print-directory all
	@$(PYTHON) tests/system/powercut.py --count $(or $(N),200)

crashboot: deps
	@$(MAKE) --no-print-directory all
	@$(PYTHON) tests/system/crashboot.py --count $(or $(N),200) $(if $(SEED),--seed $(SEED))

faults: deps
	@$(MAKE) --no-print-directory all
	@$(MAKE) --no-print-directory $(B)/faults
	@HOLDFAST_TEST_SWEEP=$(or $(STEP),1) $(B)/faults
	@HOLDFAST_TEST_SWEEP=$(or $(STEP),1) $(PYTHON) -m pytest -q -p no:cacheprovider tests/system/test_faults*.py

bank: deps
	@$(MAKE) --no-print-directory all
	@$(PYTHON) tests/system/bank.py --count $(or $(N),100)

long-checkpoint: deps
	@$(MAKE) --no-print-directory all
	@$(PYTHON) tests/system/long_checkpoint.py --time $(or $(T),600)

# The system tests and the Linux programs, with a disk and a checkpoint each 100 ms in each machine.
test-disk: deps
	@$(MAKE) --no-print-directory all
	@HOLDFAST_TEST_DISK=100ms $(PYTHON) tools/test.py --only $(or $(ONLY),abi-1,abi-4,system)

programs: deps
	@$(MAKE) --no-print-directory all
	@$(PYTHON) -m pytest -q -p no:cacheprovider tests/system/programs.py

debug: deps
	@$(MAKE) --no-print-directory all
	@sh tools/debug.sh $(RUN)

clean:
	@find $(BUILD) -mindepth 1 -maxdepth 1 ! -name cache -exec rm -rf {} + 2>/dev/null || true

distclean:
	@rm -rf $(BUILD)

# --- the kernel ---

# The kernel image. Sources are found by wildcard; a feature is a file.
K_FOLDERS := lib arch core cluster mm dev file net proc store linux persist boot
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
# -Os: with the checks the code would not fit into its 2 MiB page.
K_CFLAGS += -Os -DHOLDFAST_DEBUG -DHOLDFAST_KASAN -fsanitize=undefined -fno-sanitize=alignment
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
K_LDFLAGS := -nostdlib -static -z max-page-size=4096 -z noexecstack --gc-sections --build-id=none

$(B)/gen/calls.h $(B)/gen/calls.c &: tools/gen-calls kernel/linux/calls.tbl
	@mkdir -p $(B)/gen
	tools/gen-calls $(B)/gen kernel/linux/calls.tbl

# Its loops must not become calls of themselves.
$(B)/obj/kernel/lib/string.o: K_CFLAGS += -fno-tree-loop-distribute-patterns

# What objects were made with: those of another variant are of no use.
VARIANT := SAN=$(SAN) DEBUG=$(DEBUG) $(K_EXTRA)
$(B)/variant: FORCE
	@mkdir -p $(@D)
	@echo '$(VARIANT)' | cmp -s - $@ || echo '$(VARIANT)' > $@
FORCE:

# Hashing is most of what a commit computes: unrolled, its eight sums stay in registers.
$(B)/obj/kernel/lib/hash.o: K_CFLAGS += -O3

$(B)/obj/%.o: %.c $(B)/variant | $(B)/gen/calls.h
	@mkdir -p $(@D)
	@echo "  cc      $<"; $(CC) $(K_CFLAGS) -MMD -MP -c -o $@ $<

$(B)/obj/%.S.o: %.S $(B)/variant | $(B)/gen/calls.h
	@mkdir -p $(@D)
	@echo "  as      $<"; $(CC) $(K_CFLAGS) -D__ASSEMBLER__ -MMD -MP -c -o $@ $<

# lwIP from Debian's source package, with the kernel's flags but SAN's checks: with them the code does
# not fit into its 2 MiB page. Its data goes to sections of its own,
# which all clusters map to the same frames (kernel.ld): one stack for the machine.
L := $(B)/lwip
L_SRC := $(addprefix core/,def.c dns.c inet_chksum.c init.c ip.c mem.c memp.c netif.c pbuf.c raw.c tcp.c \
	tcp_in.c tcp_out.c timeouts.c udp.c) \
	$(addprefix core/ipv4/,dhcp.c etharp.c icmp.c igmp.c ip4.c ip4_addr.c ip4_frag.c) \
	$(addprefix core/ipv6/,dhcp6.c ethip6.c icmp6.c inet6.c ip6.c ip6_addr.c ip6_frag.c mld6.c nd6.c) \
	netif/ethernet.c
L_OBJ := $(L_SRC:%.c=$(L)/obj/%.o)
L_INC := -I$(L)/src/src/include -Ikernel/net/lwip
L_DEPS := kernel/net/lwip/lwipopts.h kernel/net/lwip/arch/cc.h kernel/net/lwip/pcbs.h
K_LIBS += $(L)/liblwip.a
K_LDFLAGS += --wrap=netif_loop_output --wrap=tcp_input --wrap=memp_malloc --wrap=memp_free

$(L)/src/.unpacked: kernel/net/lwip/fetch
	kernel/net/lwip/fetch lwip $(L)
	@touch $@

$(L)/obj/core/tcp.o $(L)/obj/core/tcp_in.o: L_FIRST := -include kernel/net/lwip/pcbs.h

$(L)/obj/%.o: $(L)/src/.unpacked $(L_DEPS) $(B)/variant
	@mkdir -p $(@D)
	@echo "  cc      lwip/$*.c"
	@$(CC) $(filter-out -W% -fsanitize=undefined,$(K_CFLAGS)) -w -fno-data-sections $(L_INC) $(L_FIRST) -c -o $@ $(L)/src/src/$*.c
	@objcopy --rename-section .data=.shared_data,alloc,load,data,contents \
		--rename-section .bss=.shared_bss,alloc $@

$(L)/liblwip.a: $(L_OBJ)
	@rm -f $@; ar rcs $@ $^

# Our side of the stack is the only code that sees lwIP's headers.
$(B)/obj/kernel/net/%.o: kernel/net/%.c $(L)/src/.unpacked $(L_DEPS) $(B)/variant | $(B)/gen/calls.h
	@mkdir -p $(@D)
	@echo "  cc      $<"; $(CC) $(K_CFLAGS) -isystem $(L)/src/src/include -Ikernel/net/lwip -MMD -MP -c -o $@ $<

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

# Linked three times: the first pass gives the sizes of the functions, which are laid out by them,
# the second one the addresses for the table of their names (read-only data, a segment of its own,
# so the code does not move). With SAN=1, where each byte of the 2 MiB counts, nothing is laid out.
$(B)/gen/symbols0.c: tools/gen-symbols
	@mkdir -p $(@D)
	tools/gen-symbols < /dev/null > $@

$(B)/gen/kernel.ld: $(K_OBJ) $(K_LIBS) $(B)/obj/gen/symbols0.o kernel/boot/kernel.ld tools/pack-kcode
	@ld $(K_LDFLAGS) -T kernel/boot/kernel.ld -Map=$(B)/gen/kernel.map -o $(B)/gen/kernel.elf \
		$(K_OBJ) $(B)/obj/gen/symbols0.o $(K_LIBS)
	@rm $(B)/gen/kernel.elf
	$(if $(SAN),cat,tools/pack-kcode $(B)/gen/kernel.map) kernel/boot/kernel.ld > $@.new
	@mv $@.new $@

$(B)/holdfast0.elf: $(B)/gen/kernel.ld
	@echo "  ld      $@"; ld $(K_LDFLAGS) -T $< -o $@ $(K_OBJ) $(B)/obj/gen/symbols0.o $(K_LIBS)

$(B)/gen/symbols1.c: $(B)/holdfast0.elf tools/gen-symbols
	nm $< | tools/gen-symbols > $@

$(B)/obj/gen/%.o: $(B)/gen/%.c
	@mkdir -p $(@D)
	@$(CC) $(K_CFLAGS) -c -o $@ $<

$(B)/holdfast.elf: $(B)/holdfast0.elf $(B)/obj/gen/symbols1.o
	@echo "  ld      $@"; ld $(K_LDFLAGS) -T $(B)/gen/kernel.ld -o $@ $(K_OBJ) $(B)/obj/gen/symbols1.o $(K_LIBS)

# The same without the Multiboot magic: QEMU then takes the PVH entry, and maps the root image
# instead of reading it into a buffer first. This is what `holdfast run` starts.
$(B)/holdfast-pvh.elf: $(B)/holdfast.elf
	LC_ALL=C sed 's/\x02\xb0\xad\x1b/\x00\x00\x00\x00/' $< > $@

-include $(K_OBJ:.o=.d)

# Unit tests of what is pure, on the host, under ASan and UBSan.
H_TESTS := $(patsubst tests/host/%.c,$(B)/host/%,$(wildcard tests/host/*_test.c))
H_CFLAGS := -std=gnu11 -O1 -g -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare -DHOLDFAST_HOST \
	-fsanitize=address,undefined -fno-sanitize-recover=all -Ikernel

H_STORE := $(filter-out kernel/store/disk.c kernel/store/trial.c,$(wildcard kernel/store/*.c))
H_PURE := $(wildcard kernel/lib/*.c) kernel/mm/buddy.c kernel/boot/plan.c $(H_STORE)
H_HEADERS := $(wildcard kernel/lib/*.h kernel/store/*.h kernel/*/record.h tools/store/*.h tests/host/*.h)
H_OBJ := $(H_PURE:%.c=$(B)/host/%.o)

$(B)/host/%.o: %.c $(H_HEADERS)
	@mkdir -p $(@D)
	@$(CC) $(H_CFLAGS) -c -o $@ $<

$(B)/host/libpure.a: $(H_OBJ)
	@rm -f $@; ar rcs $@ $^

$(B)/host/%: tests/host/%.c $(B)/host/libpure.a
	@echo "  test    $<"; $(CC) $(H_CFLAGS) -o $@ $^ -lcmocka

H_EXPORT := $(addprefix tools/store/,export.c tree.c record.c)
$(B)/host/export_test: tests/host/export_test.c $(B)/host/libpure.a $(H_EXPORT:%.c=$(B)/host/%.o)

.PHONY: host-tests crashstates
host-tests: $(H_TESTS)
	@for t in $(H_TESTS); do $$t || exit 1; done

# Host programs over the store's library: what `holdfast store` calls; and what power cuts leave of a
# disk, with what recovery makes of it: N states from SEED.
H_FAST   = $(filter-out -O1 -fsanitize% -fno-sanitize%,$(H_CFLAGS)) -O2

H_LIB   := $(wildcard kernel/lib/*.c) $(H_STORE)

$(B)/holdfast-store: $(wildcard tools/store/*.c) $(H_LIB) $(H_HEADERS)
	@mkdir -p $(@D)
	@echo "  cc      $@"; $(CC) $(H_FAST) -o $@ $(filter %.c,$^)

$(B)/crashstates: tests/host/crashstates.c $(H_LIB) $(H_HEADERS)
	@mkdir -p $(@D)
	@echo "  cc      $@"; $(CC) $(H_FAST) -o $@ $(filter %.c,$^)

$(B)/faults: tests/host/faults_test.c $(H_LIB) $(H_HEADERS)
	@mkdir -p $(@D)
	@echo "  cc      $@"; $(CC) $(H_FAST) -o $@ $(filter %.c,$^) -lcmocka

$(B)/mutate-records: tests/fuzz/mutate.c tools/store/record.c $(H_LIB) $(H_HEADERS)
	@mkdir -p $(@D)
	@echo "  cc      $@"; $(CC) $(H_FAST) -o $@ $(filter %.c,$^)

crashstates: $(B)/crashstates
	@$< -n $(or $(N),1000000) -s $(or $(SEED),$(shell date +%s))

# --- programs for tests ---

# Builds the programs of tests/abi as build/abi/NAME, statically linked, so
# that the same file runs on Linux and on Holdfast.

ABI_CC ?= gcc
# Bad pointers and lengths are given on purpose: their warnings are off.
ABI_CFLAGS := -std=gnu11 -O1 -Wall -Wextra -Werror -pthread \
	-Wno-nonnull -Wno-stringop-overflow -Wno-stringop-overread
ABI_SOURCES := $(wildcard tests/abi/*.c)
ABI_PROGRAMS := $(patsubst tests/abi/%.c,build/abi/%,$(ABI_SOURCES))
ABI_SCRIPTS := build/abi/script.sh build/abi/script.expected \
	build/abi/run-guest

.PHONY: abi
abi: $(ABI_PROGRAMS) $(ABI_SCRIPTS)

$(ABI_PROGRAMS): build/abi/%: tests/abi/%.c tests/abi/abi.h
	@mkdir -p $(@D)
	$(ABI_CC) $(ABI_CFLAGS) -static -o $@ $< $(ABI_LIBS_$*)

$(ABI_SCRIPTS): build/abi/%: tests/abi/%
	@mkdir -p $(@D)
	cp $< $@

# --- fuzzers ---

# The readers of foreign data under libFuzzer: clang, ASan and UBSan.
# `make fuzz T=60` runs each target for T seconds.
F_CC      ?= clang
F_TARGETS := $(patsubst tests/fuzz/%.c,$(B)/fuzz/%,$(wildcard tests/fuzz/*_fuzz.c))
F_LIB     := $(wildcard kernel/lib/*.c)
F_CFLAGS  := -std=gnu11 -O1 -g -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare \
	-DHOLDFAST_HOST -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -Ikernel

# The planner of clusters is fuzzed with the file that it follows.
$(B)/fuzz/archinfo_fuzz: F_LIB += kernel/boot/plan.c
$(B)/fuzz/archinfo_fuzz: kernel/boot/plan.c

# Its own hash takes whatever is changed for right.
$(B)/fuzz/store_fuzz: tests/fuzz/store_fuzz.c tests/fuzz/fuzz.h $(H_LIB) $(H_HEADERS)
	@mkdir -p $(@D)
	@echo "  fuzzer  $@"; $(F_CC) $(F_CFLAGS) -Itests/host -o $@ $< \
		$(filter-out kernel/lib/hash.c,$(H_LIB))

# What the host reads out of a store, with the store itself in the target.
F_TREE := $(addprefix tools/store/,tree.c record.c)
$(B)/fuzz/tree_fuzz: F_LIB += $(F_TREE)
$(B)/fuzz/tree_fuzz: $(F_TREE) $(H_HEADERS)

$(B)/fuzz/%: tests/fuzz/%.c tests/fuzz/fuzz.h $(F_LIB) $(wildcard kernel/lib/*.h)
	@mkdir -p $(@D)
	@echo "  fuzzer  $@"; $(F_CC) $(F_CFLAGS) -o $@ $< $(F_LIB)

.PHONY: fuzz fuzz-targets fuzz-calls fuzz-records
fuzz-targets: $(F_TARGETS)

fuzz: fuzz-targets
	@$(PYTHON) tests/fuzz/run.py --time $(or $(T),60)

# Random arguments to every call in a guest: T seconds on F_CPUS cores, from seed SEED.
F_CPUS ?= 4
SEED   ?= $(shell date +%s)
fuzz-calls: all
	@$(MAKE) --no-print-directory -s abi
	@echo "seed $(SEED)"; ./holdfast run --headless --base busybox --cpus $(F_CPUS) --memory 512M \
		--add build/abi/fuzz:/abi/fuzz -- /abi/fuzz -g -t $(or $(T),600) -s $(SEED)

fuzz-records: all $(B)/mutate-records
	@$(PYTHON) tests/fuzz/records.py --count $(or $(N),100)

# mmap, munmap, mprotect and fork from every core of four clusters for T seconds, with the walk over
# all memory after each round.
STORM := end=$$(($$(date +%s) + $(or $(T),600))); n=0; while [ $$(date +%s) -lt $$end ]; do \
	/abi/memstorm >/tmp/out || { cat /tmp/out; exit 1; }; n=$$((n + 1)); \
	cat /proc/holdfast/check >/tmp/check; \
	grep -q "^broken 0" /tmp/check || { cat /tmp/check; exit 2; }; \
	done; cat /tmp/check; echo "$$n rounds"
.PHONY: storm
storm: all
	@$(MAKE) --no-print-directory -s abi
	@./holdfast run --headless --base busybox --cpus 8 --clusters 4 --memory 1G \
		--add build/abi/memstorm:/abi/memstorm -- sh -c '$(STORM)'

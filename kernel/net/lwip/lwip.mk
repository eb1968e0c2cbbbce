# lwIP from Debian's source package, with the kernel's flags. Its data goes to sections of its own,
# which all clusters map to the same frames (kernel.ld): one stack for the machine.
L := $(B)/lwip
L_SRC := $(addprefix core/,def.c dns.c inet_chksum.c init.c ip.c mem.c memp.c netif.c pbuf.c raw.c tcp.c \
	tcp_in.c tcp_out.c timeouts.c udp.c) \
	$(addprefix core/ipv4/,dhcp.c etharp.c icmp.c igmp.c ip4.c ip4_addr.c ip4_frag.c) \
	$(addprefix core/ipv6/,dhcp6.c ethip6.c icmp6.c inet6.c ip6.c ip6_addr.c ip6_frag.c mld6.c nd6.c) \
	netif/ethernet.c
L_OBJ := $(L_SRC:%.c=$(L)/obj/%.o)
L_INC := -I$(L)/src/src/include -Ikernel/net/lwip
L_DEPS := kernel/net/lwip/lwipopts.h kernel/net/lwip/arch/cc.h kernel/net/lwip/lwip.mk \
	kernel/net/lwip/pcbs.h
K_LIBS += $(L)/liblwip.a
K_LDFLAGS += --wrap=netif_loop_output --wrap=tcp_input --wrap=memp_malloc --wrap=memp_free

$(L)/src/.unpacked: kernel/net/lwip/fetch
	kernel/net/lwip/fetch lwip $(L)
	@touch $@

$(L)/obj/core/tcp.o $(L)/obj/core/tcp_in.o: L_FIRST := -include kernel/net/lwip/pcbs.h

$(L)/obj/%.o: $(L)/src/.unpacked $(L_DEPS)
	@mkdir -p $(@D)
	$(CC) $(filter-out -W%,$(K_CFLAGS)) -w -fno-data-sections $(L_INC) $(L_FIRST) -c -o $@ $(L)/src/src/$*.c
	objcopy --rename-section .data=.shared_data,alloc,load,data,contents \
		--rename-section .bss=.shared_bss,alloc $@

$(L)/liblwip.a: $(L_OBJ)
	rm -f $@
	ar rcs $@ $^

# Our side of the stack is the only code that sees lwIP's headers.
$(B)/obj/kernel/net/%.o: kernel/net/%.c $(L)/src/.unpacked $(L_DEPS) | $(B)/gen/calls.h
	@mkdir -p $(@D)
	$(CC) $(K_CFLAGS) -isystem $(L)/src/src/include -Ikernel/net/lwip -MMD -MP -c -o $@ $<

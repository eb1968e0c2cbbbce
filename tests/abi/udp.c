/*
 * udp.c - UDP over loopback, raw name look-ups of glibc's kind, and the
 * netlink dumps that getifaddrs makes.
 */
#include "abi.h"
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static struct sockaddr_in
loopback(uint16_t port)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_port = port,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
}

static int
bound(struct sockaddr_in *name)
{
	socklen_t size = sizeof(*name);
	int fd = OK(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));

	*name = loopback(0);
	OK(bind(fd, (struct sockaddr *)name, sizeof(*name)));
	OK(getsockname(fd, (struct sockaddr *)name, &size));
	CHECK(name->sin_port != 0);
	return fd;
}

CASE(datagrams, "do datagrams keep borders and tell the sender?")
{
	struct sockaddr_in a, b, from;
	int one = bound(&a), two = bound(&b), queued;
	socklen_t size = sizeof(from);
	char text[16];

	CHECK_EQ(sendto(one, "first", 5, 0, (struct sockaddr *)&b, sizeof(b)), 5);
	CHECK_EQ(sendto(one, "", 0, 0, (struct sockaddr *)&b, sizeof(b)), 0);
	CHECK_EQ(sendto(one, "third", 5, 0, (struct sockaddr *)&b, sizeof(b)), 5);
	OK(ioctl(two, FIONREAD, &queued));
	CHECK_EQ(queued, 5);
	CHECK_EQ(recvfrom(two, text, 16, 0, (struct sockaddr *)&from, &size), 5);
	CHECK(memcmp(&from, &a, sizeof(a)) == 0);
	CHECK_EQ(recv(two, text, 16, 0), 0);
	CHECK_EQ(recv(two, text, 2, MSG_PEEK | MSG_TRUNC), 5);
	CHECK_EQ(recv(two, text, 2, 0), 2);
	CHECK_ERR(recv(two, text, 2, MSG_DONTWAIT), EAGAIN);
}

CASE(connected, "does a connected socket take from its peer only, and learn of refusal?")
{
	struct sockaddr_in a, b, c;
	int one = bound(&a), two = bound(&b), three = bound(&c);
	struct sockaddr none = {.sa_family = AF_UNSPEC};
	char text[16];

	OK(connect(one, (struct sockaddr *)&b, sizeof(b)));
	CHECK_EQ(sendto(three, "other", 5, 0, (struct sockaddr *)&a, sizeof(a)), 5);
	CHECK_EQ(sendto(two, "peer", 4, 0, (struct sockaddr *)&a, sizeof(a)), 4);
	CHECK_EQ(recv(one, text, 16, 0), 4);
	CHECK_ERR(recv(one, text, 16, MSG_DONTWAIT), EAGAIN);
	CHECK_EQ(send(one, "x", 1, 0), 1);
	CHECK_EQ(recv(two, text, 16, 0), 1);
	OK(close(two));
	CHECK_EQ(send(one, "x", 1, 0), 1);
	CHECK_ERR(recv(one, text, 16, 0), ECONNREFUSED);
	OK(connect(one, &none, sizeof(none)));
	CHECK_ERR(send(one, "x", 1, 0), EDESTADDRREQ);
}

CASE(errors, "are oversize, unaddressed and misplaced calls refused?")
{
	struct sockaddr_in a, b;
	int fd = bound(&a), other = OK(socket(AF_INET, SOCK_DGRAM, 0));
	char *big = calloc(1, 70000);

	CHECK_ERR(sendto(fd, big, 70000, 0, (struct sockaddr *)&a, sizeof(a)), EMSGSIZE);
	CHECK_EQ(sendto(fd, big, 65507, 0, (struct sockaddr *)&a, sizeof(a)), 65507);
	CHECK_EQ(recv(fd, big, 70000, 0), 65507);
	CHECK_ERR(bind(other, (struct sockaddr *)&a, sizeof(a)), EADDRINUSE);
	CHECK_ERR(listen(fd, 1), EOPNOTSUPP);
	CHECK_ERR(accept(fd, NULL, NULL), EOPNOTSUPP);
	b = loopback(0);
	CHECK_ERR(sendto(fd, "x", 1, 0, (struct sockaddr *)&b, sizeof(b)), EINVAL);
	CHECK_ERR(sendto(fd, "x", 1, 0, (struct sockaddr *)&b, 3), EINVAL);
	CHECK_ERR(sendto(fd, abi_bad(), 9, 0, (struct sockaddr *)&a, sizeof(a)), EFAULT);
	CHECK_ERR(send(fd, "x", 1, 0), EDESTADDRREQ);
	free(big);
}

CASE(vectors, "do sendmmsg and recvmmsg carry several at once?")
{
	struct sockaddr_in a;
	int fd = bound(&a), i;
	char text[3][8];
	struct iovec out[3] = {{"a", 1}, {"bb", 2}, {"ccc", 3}};
	struct iovec in[3] = {{text[0], 8}, {text[1], 8}, {text[2], 8}};
	struct mmsghdr messages[3] = {0};

	for (i = 0; i < 3; i++) {
		messages[i].msg_hdr.msg_iov = &out[i];
		messages[i].msg_hdr.msg_iovlen = 1;
		messages[i].msg_hdr.msg_name = &a;
		messages[i].msg_hdr.msg_namelen = sizeof(a);
	}
	CHECK_EQ(sendmmsg(fd, messages, 3, 0), 3);
	memset(messages, 0, sizeof(messages));
	for (i = 0; i < 3; i++) {
		messages[i].msg_hdr.msg_iov = &in[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	CHECK_EQ(recvmmsg(fd, messages, 3, 0, NULL), 3);
	for (i = 0; i < 3; i++)
		CHECK_EQ(messages[i].msg_len, i + 1);
}

CASE(packet_info, "does IP_PKTINFO tell the address, and recvmsg the truncation?")
{
	char control[256], text[2];
	struct sockaddr_in a;
	int fd = bound(&a), one = 1;
	struct iovec vector = {text, sizeof(text)};
	struct msghdr message = {
		.msg_iov = &vector,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *header;
	struct in_pktinfo info;

	OK(setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &one, sizeof(one)));
	CHECK_EQ(sendto(fd, "long", 4, 0, (struct sockaddr *)&a, sizeof(a)), 4);
	CHECK_EQ(recvmsg(fd, &message, 0), 2);
	CHECK_EQ(message.msg_flags & MSG_TRUNC, MSG_TRUNC);
	header = CMSG_FIRSTHDR(&message);
	CHECK(header != NULL);
	CHECK_EQ(header->cmsg_level, IPPROTO_IP);
	CHECK_EQ(header->cmsg_type, IP_PKTINFO);
	memcpy(&info, CMSG_DATA(header), sizeof(info));
	CHECK_EQ(info.ipi_addr.s_addr, htonl(INADDR_LOOPBACK));
}

CASE(six, "do datagrams pass over IPv6, and IPv4 through a mapped address?")
{
	struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_ANY_INIT}, from;
	socklen_t size = sizeof(a);
	int fd = OK(socket(AF_INET6, SOCK_DGRAM, 0)), zero = 0;
	struct sockaddr_in four;
	char text[8];

	OK(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero)));
	OK(bind(fd, (struct sockaddr *)&a, sizeof(a)));
	OK(getsockname(fd, (struct sockaddr *)&a, &size));
	a.sin6_addr = in6addr_loopback;
	CHECK_EQ(sendto(fd, "six", 3, 0, (struct sockaddr *)&a, sizeof(a)), 3);
	CHECK_EQ(recvfrom(fd, text, 8, 0, (struct sockaddr *)&from, &size), 3);
	CHECK(IN6_ARE_ADDR_EQUAL(&from.sin6_addr, &in6addr_loopback));
	four = loopback(a.sin6_port);
	CHECK_EQ(sendto(OK(socket(AF_INET, SOCK_DGRAM, 0)), "four", 4, 0, (struct sockaddr *)&four,
			sizeof(four)),
		 4);
	CHECK_EQ(recvfrom(fd, text, 8, 0, (struct sockaddr *)&from, &size), 4);
	CHECK(IN6_IS_ADDR_V4MAPPED(&from.sin6_addr));
}

static void *
receive_one(void *arg)
{
	char c = 0;

	CHECK_EQ(recv(*(int *)arg, &c, 1, 0), 1);
	return (void *)(intptr_t)c;
}

CASE(wake, "does a datagram wake just one of two blocked readers?")
{
	struct sockaddr_in a;
	int fd = bound(&a), i;
	pthread_t thread[2];
	void *result;
	long sum = 0;

	for (i = 0; i < 2; i++)
		PT(pthread_create(&thread[i], NULL, receive_one, &fd));
	for (i = 1; i <= 2; i++) {
		char c = i;

		CHECK_EQ(sendto(fd, &c, 1, 0, (struct sockaddr *)&a, sizeof(a)), 1);
	}
	for (i = 0; i < 2; i++) {
		PT(pthread_join(thread[i], &result));
		sum += (intptr_t)result;
	}
	CHECK_EQ(sum, 3);
}

CASE(reuse, "do SO_REUSEADDR and SO_REUSEPORT allow a shared port?")
{
	struct sockaddr_in a = loopback(0);
	socklen_t size = sizeof(a);
	int one = 1, x = OK(socket(AF_INET, SOCK_DGRAM, 0));
	int y = OK(socket(AF_INET, SOCK_DGRAM, 0));

	OK(setsockopt(x, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)));
	OK(bind(x, (struct sockaddr *)&a, size));
	OK(getsockname(x, (struct sockaddr *)&a, &size));
	CHECK_ERR(bind(y, (struct sockaddr *)&a, size), EADDRINUSE);
	OK(setsockopt(y, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)));
	OK(bind(y, (struct sockaddr *)&a, size));
}

CASE(timeout, "does SO_RCVTIMEO end a receive with EAGAIN, not too early?")
{
	struct timeval brief = {0, 20000};
	struct sockaddr_in a;
	int fd = bound(&a);
	int64_t start = abi_now_ns(CLOCK_MONOTONIC);
	char c;

	OK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &brief, sizeof(brief)));
	CHECK_ERR(recv(fd, &c, 1, 0), EAGAIN);
	CHECK(abi_now_ns(CLOCK_MONOTONIC) - start >= 19000000);
}

struct request {
	struct nlmsghdr header;
	struct rtgenmsg body;
};

/* Sends a dump request and counts the messages of the wanted type. */
static int
dump(int fd, int type, int wanted)
{
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	struct request request = {
		.header = {.nlmsg_len = sizeof(request),
			   .nlmsg_type = type,
			   .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
			   .nlmsg_seq = 77},
		.body = {.rtgen_family = AF_UNSPEC},
	};
	static char buffer[32768];
	int count = 0;

	CHECK_EQ(sendto(fd, &request, sizeof(request), 0, (struct sockaddr *)&kernel,
			sizeof(kernel)),
		 sizeof(request));
	for (;;) {
		int left = OK(recv(fd, buffer, sizeof(buffer), 0));
		struct nlmsghdr *header = (struct nlmsghdr *)buffer;

		for (; NLMSG_OK(header, (unsigned int)left); header = NLMSG_NEXT(header, left)) {
			CHECK_EQ(header->nlmsg_seq, 77);
			if (header->nlmsg_type == NLMSG_DONE)
				return count;
			CHECK(header->nlmsg_type != NLMSG_ERROR);
			count += header->nlmsg_type == wanted;
		}
	}
}

CASE(netlink, "do RTM_GETLINK and RTM_GETADDR dumps list lo and its address?")
{
	struct sockaddr_nl name = {.nl_family = AF_NETLINK};
	socklen_t size = sizeof(name);
	int fd = OK(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));

	OK(bind(fd, (struct sockaddr *)&name, sizeof(name)));
	OK(getsockname(fd, (struct sockaddr *)&name, &size));
	CHECK_EQ(name.nl_family, AF_NETLINK);
	CHECK(name.nl_pid != 0);
	CHECK(dump(fd, RTM_GETLINK, RTM_NEWLINK) >= 1);
	CHECK(dump(fd, RTM_GETADDR, RTM_NEWADDR) >= 1);
	CHECK_ERR(socket(AF_NETLINK, SOCK_STREAM, 0), ESOCKTNOSUPPORT);
}

CASE(getifaddrs, "does getifaddrs find 127.0.0.1 and ::1 on an interface that is up?")
{
	struct ifaddrs *list, *each;
	bool four = false, six = false;

	OK(getifaddrs(&list));
	for (each = list; each; each = each->ifa_next) {
		if (!each->ifa_addr || strcmp(each->ifa_name, "lo") != 0)
			continue;
		CHECK(each->ifa_flags & IFF_UP);
		CHECK(each->ifa_flags & IFF_LOOPBACK);
		if (each->ifa_addr->sa_family == AF_INET) {
			struct sockaddr_in *in = (void *)each->ifa_addr;
			struct sockaddr_in *mask = (void *)each->ifa_netmask;

			four |= in->sin_addr.s_addr == htonl(INADDR_LOOPBACK);
			CHECK_EQ(mask->sin_addr.s_addr, htonl(0xff000000));
		} else if (each->ifa_addr->sa_family == AF_INET6) {
			struct sockaddr_in6 *in = (void *)each->ifa_addr;

			six |= IN6_IS_ADDR_LOOPBACK(&in->sin6_addr);
		}
	}
	freeifaddrs(list);
	CHECK(four);
	if (access("/proc/net/if_inet6", F_OK) == 0)
		CHECK(six);
}

CASE(interface_calls, "do the interface ioctls that inet uses answer for lo?")
{
	int fd = OK(socket(AF_INET, SOCK_DGRAM, 0));
	struct ifreq request = {.ifr_name = "lo"};
	struct ifconf conf = {0};
	char buffer[4096];

	OK(ioctl(fd, SIOCGIFFLAGS, &request));
	CHECK(request.ifr_flags & IFF_LOOPBACK);
	OK(ioctl(fd, SIOCGIFINDEX, &request));
	CHECK_EQ(request.ifr_ifindex, if_nametoindex("lo"));
	OK(ioctl(fd, SIOCGIFADDR, &request));
	CHECK_EQ(((struct sockaddr_in *)&request.ifr_addr)->sin_addr.s_addr,
		 htonl(INADDR_LOOPBACK));
	OK(ioctl(fd, SIOCGIFMTU, &request));
	CHECK(request.ifr_mtu >= 1500);
	OK(ioctl(fd, SIOCGIFHWADDR, &request));
	conf.ifc_len = sizeof(buffer);
	conf.ifc_buf = buffer;
	OK(ioctl(fd, SIOCGIFCONF, &conf));
	CHECK(conf.ifc_len >= (int)sizeof(struct ifreq));
	strcpy(request.ifr_name, "nosuch0");
	CHECK_ERR(ioctl(fd, SIOCGIFFLAGS, &request), ENODEV);
	CHECK_ERR(ioctl(fd, 0x1234567, &request), ENOTTY);
}

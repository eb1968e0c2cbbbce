/*
 * /etc/resolv.conf follows the name servers that DHCP, DHCPv6 and router advertisements gave.
 * Written by the network thread with no lock held; a root without /etc is left alone.
 */
#include <linux/fcntl.h>
#include "lib/format.h"
#include "net/net.h"

#include "lwip/dns.h"

bool
resolv_stale(struct net *n)
{
	if (n->resolv_root != vfs_root())
		return true; /* a resume brought another file */
	for (u8 i = 0; i < DNS_MAX_SERVERS; i++)
		if (!ip_addr_cmp(dns_getserver(i), &n->dns_seen[i]))
			return true;
	return false;
}

void
resolv_update(struct net *n)
{
	ip_addr_t servers[DNS_MAX_SERVERS];
	char text[256], ip[IPADDR_STRLEN_MAX];
	struct file *f;
	struct uio u;
	size_t len = 0;

	n->resolv_root = vfs_root();

	net_lock();
	for (u8 i = 0; i < DNS_MAX_SERVERS; i++)
		ip_addr_copy(servers[i], *dns_getserver(i));
	net_unlock();
	for (int i = 0; i < DNS_MAX_SERVERS; i++) {
		n->dns_seen[i] = servers[i];
		if (!ip_addr_isany(&servers[i]))
			len += (size_t)format(text + len, sizeof(text) - len, "nameserver %s\n",
					      ipaddr_ntoa_r(&servers[i], ip, sizeof(ip)));
	}
	if (len == 0 ||
	    vfs_open(AT_FDCWD, "/etc/resolv.conf", O_WRONLY | O_CREAT | O_TRUNC, 0644, &f) != 0)
		return;
	uio_kernel(&u, text, len);
	(void)file_write(f, &u, NULL);
	file_put(f);
}

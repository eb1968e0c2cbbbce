/*
 * All kinds of kernel object, and what becomes of each over a power cut. Those of the table below
 * are written down; beside each is a list "Members of struct ..." of what is *written* of it,
 * *made* again from that or anew, and *lost*. Of all others that hold anything, this is the list.
 *
 * Within the record of another object:
 *	vm_mapping	its vm_map
 *	dentry, dir_index	names are in their directory's record, found again by place_load
 *	vnode_locks, range	the vnode that is locked; who waits for one asks again
 *	epoll, epoll_item, eventfd, timerfd, signalfd, instance, watch, event
 *			the open file, by its struct file_persist
 *	nl_socket, nl_answer	the same; answers that nobody has read are kept
 *	dgram, inet_group	the inet; groups are joined again where the interface is there
 *	thread		its task
 *	sigqueue, siginfo_item, process_itimers, itimer, posix_timer	the process or task
 *	home_group, home_use	pages are items of the store; the vm_object names those it borrows
 *
 * A wait, or a call under way: it is issued again and does the same (core/blocked.h):
 *	waiter, item_waiter, file_waiter, queued, poller, poller_entry, watcher, bucket,
 *	futex_waiter, forget_args, protect_args, block_file, gen_text
 *			no difference; a read of a file of /proc goes on in a text that is new
 *
 * Made at each start, by the kernel or from the records; not seen by who was there before:
 *	pmap, pmap_batch, replica, replica_list, registered, registry, registry_list, mm
 *			page tables and copies near to a core: filled by page faults
 *	frame, buddy, page_allocator, slab_cache, slab_caches, kstacks, kthread
 *			memory as such; what the machine has of it may be more or less than before
 *	pid, processes, thread_table	numbers: from processes and tasks
 *	unix_sockets, tty_shared, ipc, inotify_shared, ns_lock	tables of what is in records
 *	pcb_node, ports	connections and their ports: from inets; TIME_WAIT is forgotten
 *	device_node, chdev, devices, driver, pci_device, fwcfg, power, uart, ioapics
 *			devices: found at each start; a file open on one that is gone gives EIO
 *	virtio_blk, virtio_console, virtio_net, virtio_rng, ahci_port, nvme, block_request,
 *	block_device, block_batch
 *			the same; the engine stops with no request of a program under way
 *	iface, net, net_worker, netdev
 *			interfaces: up again, with an address by DHCP; connections give ECONNRESET
 *	core, cluster, machine_parts, runqueue, timerq, rpc_ring	who runs where is forgotten
 *	klog_ring, klog_shared	dmesg begins anew
 *	random		seeded anew, from the record among others
 *	quiesce, persist, persist_known, persist_marks, record, cut, loaded, load, vm_cut,
 *	cut_run, cut_chunk, record_chunk, record_room, reached_piece, part, reading, homes, entry
 *			the engine's own
 *	store_disk, store_disks, found	the store's
 *	selftest	of /proc/holdfast, which begins again
 *
 * Kinds of vnode that are not written down, but made again, and found by their path:
 *	node_ops	a device node: mode and owner are in its directory's record
 *	proc_root_ops, pid_dir_ops, tasks_ops, fds_ops, fd_link_ops, link_ops, text_ops, self_ops
 *			/proc
 *	registered_ops, gen_dir_ops	files of /proc and /sys that other code registers
 *	anon_ops	of files without a name: the open file has it. Memory's are written down
 * Kinds of vm_object, besides these:
 *	file_ops	written down
 *	device_ops	nothing maps a device for a program
 * Families of sockets:
 *	unix_family, inet4, inet6, netlink	kinds of open file
 *
 * tests/system/test_resume_kinds.py compares all this with what the debug information has.
 */
#include "dev/tty.h"
#include "file/dentry.h"
#include "file/persist.h"
#include "net/start.h"
#include "persist/impl.h"
#include "proc/persist.h"
#include "proc/process.h"

struct saved_kind {
	const struct persist_kind *kind;
	bool of_files; /* needed for the files alone */
};

static const struct saved_kind kinds[] = {
	{&vm_object_persist, true}, {&vm_map_persist, false},	 {&vm_pages_persist, true},
	{&process_persist, false},  {&task_persist, false},	 {&sighandlers_persist, false},
	{&namespace_persist, true}, {&mount_persist, true},	 {&vnode_persist, true},
	{&file_persist, false},	    {&fdtable_persist, false},	 {&fs_context_persist, false},
	{&pipe_persist, false},	    {&unix_sock_persist, false}, {&unix_msg_persist, false},
	{&tty_persist, false},	    {&pty_persist, false},	 {&inet_persist, false},
};

const struct persist_kind *
persist_kind(u16 number)
{
	for (unsigned i = 0; i < ARRAY_SIZE(kinds); i++)
		if (kinds[i].kind->number == number)
			return kinds[i].kind;
	return NULL;
}

bool
persist_kind_of_files(u16 number)
{
	for (unsigned i = 0; i < ARRAY_SIZE(kinds); i++)
		if (kinds[i].kind->number == number)
			return kinds[i].of_files;
	return false;
}

/* --- where the walk begins --- */

static void *
root_init(void)
{
	return processes()->init;
}

static void *
root_namespace(void)
{
	return vfs_get();
}

const struct persist_root persist_roots[] = {
	{S_INIT, &process_persist, root_init},
	{S_NAMESPACE, &namespace_persist, root_namespace},
};
const unsigned persist_roots_n = ARRAY_SIZE(persist_roots);

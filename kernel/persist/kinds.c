/*
 * All kinds of kernel object, and what becomes of each over a power cut: written down by the struct
 * persist_kind below, or not, as its user does not see it or is told:
 *
 *	dentry		names are in their directory's record; found again by place_load
 *	device_node	made again by its driver
 *	epoll		the state of an open file, of kind file
 *	frame		pages are vm_object's and vm_pages'
 *	pmap		filled by page faults
 *
 * tests/system/test_resume.py goes over both, over all structures with a count of references and
 * over all kinds of open file, and fails on one that is nowhere.
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

/*
 * Calls about users, groups and capabilities. A process is privileged when its effective user is 0;
 * there are no finer capabilities, and capget says so: all of them or none.
 *
 * Credentials belong to the process (not to its threads), as POSIX has it.
 */
#include <asm/errno.h>
#include <linux/capability.h>

#include "calls.h"
#include "lib/string.h"
#include "mm/user.h"
#include "proc/process.h"

#define KEEP	((u32)-1)
#define CAP_ALL ((1UL << (CAP_LAST_CAP + 1)) - 1)

static struct credentials *
mine(void)
{
	return &current_process()->cred;
}

long
sys_getuid(void)
{
	return mine()->uid;
}

long
sys_getgid(void)
{
	return mine()->gid;
}

long
sys_geteuid(void)
{
	return mine()->euid;
}

long
sys_getegid(void)
{
	return mine()->egid;
}

/* Whether an unprivileged process may take id v. */
static bool
among(u32 v, u32 a, u32 b, u32 c)
{
	return v == KEEP || v == a || v == b || v == c;
}

long
sys_setresuid(u32 ruid, u32 euid, u32 suid)
{
	struct credentials *c = mine();
	bool root = process_privileged();

	if (!root &&
	    (!among(ruid, c->uid, c->euid, c->suid) || !among(euid, c->uid, c->euid, c->suid) ||
	     !among(suid, c->uid, c->euid, c->suid)))
		return -EPERM;
	spin_lock(&current_process()->lock);
	if (euid != KEEP && euid != c->euid)
		current_process()->dumpable = false; /* what it holds is not the new user's */
	c->uid = ruid == KEEP ? c->uid : ruid;
	c->euid = euid == KEEP ? c->euid : euid;
	c->suid = suid == KEEP ? c->suid : suid;
	c->fsuid = c->euid;
	spin_unlock(&current_process()->lock);
	return 0;
}

long
sys_setresgid(u32 rgid, u32 egid, u32 sgid)
{
	struct credentials *c = mine();
	bool root = process_privileged();

	if (!root &&
	    (!among(rgid, c->gid, c->egid, c->sgid) || !among(egid, c->gid, c->egid, c->sgid) ||
	     !among(sgid, c->gid, c->egid, c->sgid)))
		return -EPERM;
	spin_lock(&current_process()->lock);
	if (egid != KEEP && egid != c->egid)
		current_process()->dumpable = false;
	c->gid = rgid == KEEP ? c->gid : rgid;
	c->egid = egid == KEEP ? c->egid : egid;
	c->sgid = sgid == KEEP ? c->sgid : sgid;
	c->fsgid = c->egid;
	spin_unlock(&current_process()->lock);
	return 0;
}

long
sys_setreuid(u32 ruid, u32 euid)
{
	struct credentials *c = mine();
	bool saved = ruid != KEEP || (euid != KEEP && euid != c->uid);

	if (!process_privileged() &&
	    (!among(ruid, c->uid, c->euid, c->uid) || !among(euid, c->uid, c->euid, c->suid)))
		return -EPERM;
	return sys_setresuid(ruid, euid, saved ? (euid == KEEP ? c->euid : euid) : KEEP);
}

long
sys_setregid(u32 rgid, u32 egid)
{
	struct credentials *c = mine();
	bool saved = rgid != KEEP || (egid != KEEP && egid != c->gid);

	if (!process_privileged() &&
	    (!among(rgid, c->gid, c->egid, c->gid) || !among(egid, c->gid, c->egid, c->sgid)))
		return -EPERM;
	return sys_setresgid(rgid, egid, saved ? (egid == KEEP ? c->egid : egid) : KEEP);
}

long
sys_setuid(u32 uid)
{
	if (uid == KEEP)
		return -EINVAL;
	return process_privileged() ? sys_setresuid(uid, uid, uid) : sys_setresuid(KEEP, uid, KEEP);
}

long
sys_setgid(u32 gid)
{
	if (gid == KEEP)
		return -EINVAL;
	return process_privileged() ? sys_setresgid(gid, gid, gid) : sys_setresgid(KEEP, gid, KEEP);
}

static long
put_three(u32 __user *a, u32 __user *b, u32 __user *c, const u32 v[3])
{
	return put_user(v[0], a) || put_user(v[1], b) || put_user(v[2], c) ? -EFAULT : 0;
}

long
sys_getresuid(u32 __user *ruid, u32 __user *euid, u32 __user *suid)
{
	const u32 v[3] = {mine()->uid, mine()->euid, mine()->suid};

	return put_three(ruid, euid, suid, v);
}

long
sys_getresgid(u32 __user *rgid, u32 __user *egid, u32 __user *sgid)
{
	const u32 v[3] = {mine()->gid, mine()->egid, mine()->sgid};

	return put_three(rgid, egid, sgid, v);
}

/* Both give the old value, changed or not: that is their interface (man 2 setfsuid). */
long
sys_setfsuid(u32 uid)
{
	struct credentials *c = mine();
	u32 old = c->fsuid;

	if (process_privileged() || among(uid, c->uid, c->euid, c->suid))
		c->fsuid = uid == KEEP ? old : uid;
	return old;
}

long
sys_setfsgid(u32 gid)
{
	struct credentials *c = mine();
	u32 old = c->fsgid;

	if (process_privileged() || among(gid, c->gid, c->egid, c->sgid))
		c->fsgid = gid == KEEP ? old : gid;
	return old;
}

long
sys_getgroups(int n, u32 __user *list)
{
	struct credentials *c = mine();
	u32 have = c->ngroups;

	if (n < 0)
		return -EINVAL;
	if (n == 0)
		return have;
	if ((u32)n < have)
		return -EINVAL;
	return copy_to_user(list, c->groups, have * sizeof(u32)) ? -EFAULT : (long)have;
}

long
sys_setgroups(int n, const u32 __user *list)
{
	u32 groups[ARRAY_SIZE(mine()->groups)];
	struct process *p = current_process();

	if (!process_privileged())
		return -EPERM;
	if (n < 0 || (size_t)n > ARRAY_SIZE(groups))
		return -EINVAL;
	if (n && copy_from_user(groups, list, (size_t)n * sizeof(u32)))
		return -EFAULT;
	spin_lock(&p->lock);
	memcpy(p->cred.groups, groups, (size_t)n * sizeof(u32));
	p->cred.ngroups = (u32)n;
	spin_unlock(&p->lock);
	return 0;
}

/* --- capabilities --- */

/* Number of 32-bit words by the header's version; a version we do not know is told ours. */
static int
cap_header(void __user *header, struct __user_cap_header_struct *h, unsigned *words)
{
	u32 ours = _LINUX_CAPABILITY_VERSION_3;

	if (copy_from_user(h, header, sizeof(*h)))
		return -EFAULT;
	if (h->version == _LINUX_CAPABILITY_VERSION_1) {
		*words = 1;
	} else if (h->version == _LINUX_CAPABILITY_VERSION_2 || h->version == ours) {
		*words = 2;
	} else {
		return put_user(ours, (u32 __user *)header) ? -EFAULT : -EINVAL;
	}
	return h->pid < 0 ? -EINVAL : 0;
}

static u64
caps_of(int pid, int *err)
{
	struct process *p = pid ? process_find(pid) : NULL;
	u64 caps;

	*err = pid && !p ? -ESRCH : 0;
	caps = (p ? p->cred.euid : mine()->euid) == 0 ? CAP_ALL : 0;
	process_put(p);
	return caps;
}

long
sys_capget(void __user *header, void __user *data)
{
	struct __user_cap_data_struct d[2];
	struct __user_cap_header_struct h;
	unsigned words;
	u64 caps;
	int err = cap_header(header, &h, &words);

	if (!data && err == -EINVAL)
		return 0; /* only the version was asked for */
	if (err)
		return err;
	caps = caps_of(h.pid, &err);
	if (err)
		return err;
	memset(d, 0, sizeof(d));
	for (unsigned i = 0; i < words; i++)
		d[i].effective = d[i].permitted = (u32)(caps >> (32 * i));
	return data ? copy_to_user(data, d, words * sizeof(d[0])) : 0;
}

long
sys_capset(void __user *header, const void __user *data)
{
	struct __user_cap_data_struct d[2] = {0};
	struct __user_cap_header_struct h;
	unsigned words;
	u64 have = mine()->euid == 0 ? CAP_ALL : 0, want;
	int err = cap_header(header, &h, &words);

	if (err)
		return err;
	if (h.pid != 0 && h.pid != current_thread()->tid)
		return -EPERM;
	if (copy_from_user(d, data, words * sizeof(d[0])))
		return -EFAULT;
	/* What we have is all we can have: any other set cannot be given. */
	want = d[0].effective | (u64)d[1].effective << 32;
	return (want & CAP_ALL) == have ? 0 : -EPERM;
}

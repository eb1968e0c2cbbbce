/*
 * /proc's texts about the machine: memory, processors, counters, file systems. Each is made from
 * the figures themselves when it is read; what does not exist here (disks) has an empty table.
 */
#include <asm/errno.h>
#include "arch/clock.h"
#include "arch/cpu.h"
#include "cluster/cluster.h"
#include "core/loadavg.h"
#include "core/sched.h"
#include "core/thread.h"
#include "file/dentry.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/frame.h"
#include "mm/kstack.h"
#include "mm/reclaim.h"

#define HZ	   100
#define KIB(pages) ((pages) * (PAGE_SIZE / 1024))
#define OS_RELEASE "6.1.0-holdfast"

static size_t
meminfo_show(char *buf, size_t size, void *arg)
{
	struct memory_info m;
	size_t len = 0;

	memory_info(&m);
	const struct {
		const char *name;
		u64 pages;
	} lines[] = {
		{"MemTotal:", m.total},
		{"MemFree:", m.free},
		{"MemAvailable:", m.free + reclaim_available()},
		{"Buffers:", 0},
		{"Cached:", m.cached},
		{"SwapCached:", 0},
		{"Active:", m.anonymous},
		{"Inactive:", 0},
		{"SwapTotal:", 0},
		{"SwapFree:", 0},
		{"Dirty:", 0},
		{"Writeback:", 0},
		{"AnonPages:", m.anonymous},
		{"Mapped:", 0},
		{"Shmem:", m.cached},
		{"Slab:", m.slab},
		{"SReclaimable:", 0},
		{"SUnreclaim:", m.slab},
		{"KernelStack:", m.kernel_stacks},
		{"PageTables:", m.page_tables},
		{"CommitLimit:", m.total},
		{"Committed_AS:", m.anonymous},
		/* Holdfast's own: of KernelStack and of Slab, what waits to be used again. */
		{"KernelStackFree:", kstack_free_pages()},
		{"FilesFree:", files_free_bytes() / PAGE_SIZE},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(lines); i++)
		gen_printf(buf, size, &len, "%-16s%8lu kB\n", lines[i].name, KIB(lines[i].pages));
	gen_printf(buf, size, &len,
		   "HugePages_Total:       0\nHugePages_Free:        0\n"
		   "Hugepagesize:       2048 kB\n");
	return len;
}

/* --- processors --- */

static void
cpu_brand(char brand[49])
{
	u32 r[4];

	cpuid(0x80000000u, 0, r);
	if (r[0] < 0x80000004u) {
		string_copy(brand, "unknown", 49);
		return;
	}
	for (u32 i = 0; i < 3; i++) {
		cpuid(0x80000002u + i, 0, r);
		memcpy(brand + i * 16, r, 16);
	}
	brand[48] = 0;
}

static void
flags_of(char *buf, size_t size, size_t *len, u32 bits, const char *const names[32])
{
	for (int i = 0; i < 32; i++)
		if ((bits >> i & 1) && names[i])
			gen_printf(buf, size, len, " %s", names[i]);
}

static void
cpu_flags(char *buf, size_t size, size_t *len)
{
	static const char *const edx1[32] = {
		"fpu",	"vme",	 "de",	 "pse",	    "tsc",  "msr", "pae",  "mce",
		"cx8",	"apic",	 NULL,	 "sep",	    "mtrr", "pge", "mca",  "cmov",
		"pat",	"pse36", "pn",	 "clflush", NULL,   "dts", "acpi", "mmx",
		"fxsr", "sse",	 "sse2", "ss",	    "ht",   "tm",  "ia64", "pbe"};
	static const char *const ecx1[32] = {
		"pni",	  "pclmulqdq", "dtes64", "monitor", "ds_cpl",
		"vmx",	  "smx",       "est",	 "tm2",	    "ssse3",
		"cid",	  "sdbg",      "fma",	 "cx16",    "xtpr",
		"pdcm",	  NULL,	       "pcid",	 "dca",	    "sse4_1",
		"sse4_2", "x2apic",    "movbe",	 "popcnt",  "tsc_deadline_timer",
		"aes",	  "xsave",     NULL,	 "avx",	    "f16c",
		"rdrand", "hypervisor"};
	static const char *const ebx7[32] = {
		"fsgsbase", "tsc_adjust", "sgx",      "bmi1",	    "hle",	"avx2",
		NULL,	    "smep",	  "bmi2",     "erms",	    "invpcid",	"rtm",
		NULL,	    NULL,	  "mpx",      NULL,	    "avx512f",	"avx512dq",
		"rdseed",   "adx",	  "smap",     "avx512ifma", NULL,	"clflushopt",
		"clwb",	    NULL,	  "avx512pf", "avx512er",   "avx512cd", "sha_ni",
		"avx512bw", "avx512vl"};
	u32 r[4], max_leaf;

	cpuid(0, 0, r);
	max_leaf = r[0];
	cpuid(1, 0, r);
	flags_of(buf, size, len, r[3], edx1);
	cpuid(0x80000001u, 0, r);
	if (r[3] >> 11 & 1)
		gen_printf(buf, size, len, " syscall");
	if (r[3] >> 20 & 1)
		gen_printf(buf, size, len, " nx");
	if (r[3] >> 29 & 1)
		gen_printf(buf, size, len, " lm");
	cpuid(1, 0, r);
	flags_of(buf, size, len, r[2], ecx1);
	if (max_leaf >= 7) {
		cpuid(7, 0, r);
		flags_of(buf, size, len, r[1], ebx7);
	}
}

static size_t
cpuinfo_show(char *buf, size_t size, void *arg)
{
	u32 r[4], id[4], family, model, khz = (u32)clock_tsc_khz();
	char brand[49], vendor[13] = {0};
	size_t len = 0;

	cpuid(0, 0, r);
	memcpy(vendor, &r[1], 4);
	memcpy(vendor + 4, &r[3], 4);
	memcpy(vendor + 8, &r[2], 4);
	cpuid(1, 0, id);
	cpu_brand(brand);
	family = id[0] >> 8 & 15;
	model = id[0] >> 4 & 15;
	if (family == 6 || family == 15)
		model |= id[0] >> 12 & 0xf0;
	if (family == 15)
		family += id[0] >> 20 & 255;
	for (u32 i = 0; i < machine()->ncores; i++) {
		struct core *c = machine()->core[i];

		gen_printf(buf, size, &len,
			   "processor\t: %u\nvendor_id\t: %s\ncpu family\t: %u\nmodel\t\t: %u\n"
			   "model name\t: %s\nstepping\t: %u\ncpu MHz\t\t: %u.%03u\n"
			   "physical id\t: %u\nsiblings\t: %u\ncore id\t\t: %u\ncpu cores\t: %u\n"
			   "apicid\t\t: %u\nfpu\t\t: yes\nflags\t\t:",
			   i, vendor, family, model, brand, id[0] & 15, khz / 1000, khz % 1000,
			   c->arch.cxy, c->cluster->cores_nr, c->arch.lid, c->cluster->cores_nr,
			   c->arch.apic_id);
		cpu_flags(buf, size, &len);
		gen_printf(buf, size, &len,
			   "\nbogomips\t: %u.%02u\naddress sizes\t: 48 bits virtual\n\n", khz / 500,
			   khz / 5 % 100);
	}
	return len;
}

/* --- time and load --- */

static ns_t
idle_of(struct core *c)
{
	ns_t t = atomic_load_relaxed(&c->idle_ns);

	if (atomic_load(&c->arch.current) == c->idle)
		t += max(clock_now() - atomic_load(&c->idle->run_since), (ns_t)0);
	return t;
}

static u64
ticks(ns_t t)
{
	return (u64)(t / (NS_PER_SEC / HZ));
}

static void
stat_line(char *buf, size_t size, size_t *len, const char *name, const ns_t t[3])
{
	gen_printf(buf, size, len, "%s %lu 0 %lu %lu 0 0 0 0 0 0\n", name, ticks(t[0]), ticks(t[1]),
		   ticks(t[2]));
}

static size_t
stat_show(char *buf, size_t size, void *arg)
{
	const struct procfs_process_ops *ops = vfs_get()->process_ops;
	u64 switches = 0, irqs = 0;
	ns_t sum[3] = {0}, one[3];
	size_t len = 0, n = 0;
	char name[16];

	for (u32 i = 0; i < machine()->ncores; i++) {
		struct core *c = machine()->core[i];

		sum[0] += atomic_load_relaxed(&c->user_ns);
		sum[1] += atomic_load_relaxed(&c->system_ns);
		sum[2] += idle_of(c);
		switches += atomic_load_relaxed(&c->stat_switches);
		irqs += atomic_load_relaxed(&c->stat_irqs);
	}
	stat_line(buf, size, &len, "cpu ", sum);
	for (u32 i = 0; i < machine()->ncores; i++) {
		struct core *c = machine()->core[i];

		one[0] = atomic_load_relaxed(&c->user_ns);
		one[1] = atomic_load_relaxed(&c->system_ns);
		one[2] = idle_of(c);
		format(name, sizeof(name), "cpu%u", i);
		stat_line(buf, size, &len, name, one);
	}
	for (int pid = ops ? ops->next_pid(0) : -1; pid > 0; pid = ops->next_pid(pid))
		n++;
	gen_printf(buf, size, &len,
		   "intr %lu\nctxt %lu\nbtime %lld\nprocesses %lu\nprocs_running %u\nprocs_blocked "
		   "0\n",
		   irqs, switches, (long long)(clock_real_offset() / NS_PER_SEC), n,
		   sched_runnable());
	return len;
}

static size_t
loadavg_show(char *buf, size_t size, void *arg)
{
	const struct procfs_process_ops *ops = vfs_get()->process_ops;
	u32 l[3];
	size_t len = 0;

	loadavg_read(l);
	gen_printf(buf, size, &len, "%u.%02u %u.%02u %u.%02u %u/%u %d\n", l[0] >> 11,
		   (l[0] & 2047) * 100 >> 11, l[1] >> 11, (l[1] & 2047) * 100 >> 11, l[2] >> 11,
		   (l[2] & 2047) * 100 >> 11, sched_runnable(), ops ? ops->all_threads() : 0,
		   ops ? ops->last_pid() : 0);
	return len;
}

static size_t
uptime_show(char *buf, size_t size, void *arg)
{
	ns_t up = clock_now(), idle = 0;
	size_t len = 0;

	for (u32 i = 0; i < machine()->ncores; i++)
		idle += idle_of(machine()->core[i]);
	gen_printf(buf, size, &len, "%lu.%02lu %lu.%02lu\n", ticks(up) / HZ, ticks(up) % HZ,
		   ticks(idle) / HZ, ticks(idle) % HZ);
	return len;
}

static size_t
interrupts_show(char *buf, size_t size, void *arg)
{
	static const struct {
		const char *name, *what;
		size_t offset;
	} rows[] = {{"IRQ", "Interrupts, all", offsetof(struct core, stat_irqs)},
		    {"IPI", "Inter-processor interrupts", offsetof(struct core, stat_ipis)}};
	size_t len = 0;

	gen_printf(buf, size, &len, "    ");
	for (u32 i = 0; i < machine()->ncores; i++)
		gen_printf(buf, size, &len, "%8s%-3u", "CPU", i);
	for (unsigned k = 0; k < ARRAY_SIZE(rows); k++) {
		gen_printf(buf, size, &len, "\n%s:", rows[k].name);
		for (u32 i = 0; i < machine()->ncores; i++)
			gen_printf(buf, size, &len, " %10lu",
				   *(u64 *)((char *)machine()->core[i] + rows[k].offset));
		gen_printf(buf, size, &len, "  %s", rows[k].what);
	}
	gen_printf(buf, size, &len, "\n");
	return len;
}

static size_t
vmstat_show(char *buf, size_t size, void *arg)
{
	struct memory_info m;
	u64 faults = 0;
	size_t len = 0;

	memory_info(&m);
	for (u32 i = 0; i < machine()->ncores; i++)
		faults += atomic_load_relaxed(&machine()->core[i]->stat_faults);
	gen_printf(
		buf, size, &len,
		"nr_free_pages %lu\nnr_anon_pages %lu\nnr_file_pages %lu\nnr_page_table_pages %lu\n"
		"pgfault %lu\npgmajfault 0\npswpin 0\npswpout 0\n",
		m.free, m.anonymous, m.cached, m.page_tables, faults);
	return len;
}

/* --- constant texts --- */

static size_t
text_show(char *buf, size_t size, void *arg)
{
	size_t len = 0;

	gen_printf(buf, size, &len, "%s", (const char *)arg);
	return len;
}

static size_t
cmdline_show(char *buf, size_t size, void *arg)
{
	size_t len = 0;

	gen_printf(buf, size, &len, "%s\n", machine()->cmdline ? machine()->cmdline : "");
	return len;
}

int
procinfo_register(void)
{
	static const struct genfile_ops meminfo = {meminfo_show}, cpuinfo = {cpuinfo_show},
					stat = {stat_show}, loadavg = {loadavg_show},
					uptime = {uptime_show}, interrupts = {interrupts_show},
					vmstat = {vmstat_show}, cmdline = {cmdline_show},
					text = {text_show};
	static const struct {
		const char *path;
		const struct genfile_ops *ops;
		const char *text;
	} files[] = {
		{"meminfo", &meminfo, NULL},
		{"cpuinfo", &cpuinfo, NULL},
		{"stat", &stat, NULL},
		{"loadavg", &loadavg, NULL},
		{"uptime", &uptime, NULL},
		{"interrupts", &interrupts, NULL},
		{"vmstat", &vmstat, NULL},
		{"cmdline", &cmdline, NULL},
		{"version", &text, "Linux version " OS_RELEASE " (Holdfast) #1 SMP\n"},
		{"filesystems", &text,
		 "nodev\ttmpfs\nnodev\tramfs\nnodev\tproc\nnodev\tsysfs\nnodev\tdevtmpfs\nnodev\tde"
		 "vpts\n"
		 "nodev\tcgroup2\n"},
		{"devices", &text,
		 "Character devices:\n  1 mem\n  4 ttyS\n  5 /dev/tty\n136 pts\n\nBlock "
		 "devices:\n"},
		{"cgroups", &text, "#subsys_name\thierarchy\tnum_cgroups\tenabled\n"},
		{"diskstats", &text, ""},
		{"partitions", &text, "major minor  #blocks  name\n\n"},
		{"swaps", &text, "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"},
		{"modules", &text, ""},
	};
	int err = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(files) && err == 0; i++)
		err = procfs_add(files[i].path, 0444, files[i].ops, (void *)files[i].text);
	if (err == 0)
		err = procfs_add_link("mounts", "self/mounts");
	if (err == 0)
		err = proc_clusters_register();
	return err;
}

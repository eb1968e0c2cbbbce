/*
 * The two mutable statics of the kernel: boot_info, the first thing in kdata, and local_cluster.
 * Each cluster has its own copy of both at the same address; another cluster's is reached through
 * the physmap by machine()->cluster[]. Filled by boot/instance.c, constant after D3 but for the
 * members marked otherwise.
 */
#include "cluster/cluster.h"

struct boot_info boot_info __attribute__((section(".boot_info"), aligned(4096))) = {
	.magic = BOOT_INFO_MAGIC,
	.version = BOOT_INFO_VERSION,
	.size = sizeof(struct boot_info),
};
struct cluster local_cluster
	__attribute__((section(".local_cluster"), aligned(64))) = {.cores_nr = 0};

/*
 * The tags of mm/'s records on the disk, which tools/store reads, too: never changed, never used
 * again. What is written where is told by object_persist.c and map_persist.c.
 */
#ifndef MM_RECORD_H
#define MM_RECORD_H

#define RECORD_OBJECT 32 /* numbers of kinds */
#define RECORD_MAP    33
#define RECORD_PAGES  34

enum object_tag {
	OBJECT_KIND = 1, /* enum object_kind */
	OBJECT_SIZE,	 /* bytes */
	OBJECT_PRIVATE,	 /* it is the anon of private mappings */
	OBJECT_FIRST,	 /* hull of its own pages */
	OBJECT_END,
	OBJECT_PAGES, /* how many there are, about */
	OBJECT_PART,  /* a group: pages of a vm_pages */
	PART_PAGES,   /* its id */
	PART_FIRST,
	PART_COUNT,
	OBJECT_POLICY, /* one for each range of mbind */
};

enum object_kind { OBJECT_ANON, OBJECT_FILE };

enum map_tag {
	MAP_NUMBERS = 1,  /* of a vm_map: one each, from here on */
	MAP_MAPPING = 64, /* a group: */
	AREA_START,
	AREA_END,
	AREA_PROT,
	AREA_MAX_PROT,
	AREA_FLAGS,
	AREA_OBJECT, /* ids of vm_objects */
	AREA_OFFSET,
	AREA_ANON,
	AREA_ANON_OFFSET,
	AREA_NEEDS_COPY,
	AREA_POLICY_MODE,
	AREA_POLICY_FLAGS,
	AREA_POLICY_NODES,
	AREA_FILE,
	AREA_LABEL,
};

#endif

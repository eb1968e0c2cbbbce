/* Inside mm/: page tables at a cut (harvest.c), and what is looked at before it (survey.c). */
#ifndef MM_HARVEST_H
#define MM_HARVEST_H

#include "mm/pmap.h"

struct vm_survey;

/* The entry of va, with its D bit, which it loses. => the machine stands still */
void harvest_leaf(pte_t *e, vaddr_t va, struct harvest *h);
/* Harvests what the survey has found in tables that were not walked since; before pmap_harvest(),
 * which does the rest. => the machine stands still */
void survey_harvest(struct vm_survey *s, struct harvest *h);

#endif

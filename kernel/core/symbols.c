/* Looks a name up in the symbol table that the link makes (tools/gen-symbols). */
#include "core/symbols.h"

const char *
symbol_of(u64 address, u64 *offset)
{
	u64 low = 0, high = symbol_count;

	*offset = 0;
	while (low < high) {
		u64 mid = (low + high) / 2;

		if (symbol_table[mid].address <= address)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == 0)
		return NULL;
	*offset = address - symbol_table[low - 1].address;
	return symbol_table[low - 1].name;
}

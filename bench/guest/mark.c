/* mark N: begins section N of a profile, or ends one with 0. */
#include "mark.h"
#include <stdlib.h>

int
main(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	mark(atoi(argv[1]));
	return 0;
}

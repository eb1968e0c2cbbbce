/* The first thing a user program can do: say so. */
#include <unistd.h>

int
main(void)
{
	return write(1, "\nFIRST\n", 7) != 7;
}

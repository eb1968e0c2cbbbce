/*
 * <asm/siginfo.h> without its POLL_* codes, whose names file/poll.h has for readiness bits. Include
 * it before any header of the kernel.
 */
#ifndef PROC_SIGINFO_UAPI_H
#define PROC_SIGINFO_UAPI_H

#include <asm/siginfo.h>
#undef POLL_IN
#undef POLL_OUT
#undef POLL_MSG
#undef POLL_ERR
#undef POLL_PRI
#undef POLL_HUP

#endif

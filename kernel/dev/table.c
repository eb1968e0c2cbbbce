/* Every driver, in the order in which they are tried. */
#include "dev/driver.h"
#include "dev/uart.h"

extern const struct driver virtio_rng_driver, virtio_net_driver, virtio_console_driver,
	virtio_blk_driver, nvme_driver, ahci_driver;

const struct driver *const driver_table[] = {
	&uart_driver,	    &uart_control_driver, &virtio_console_driver,
	&virtio_rng_driver, &virtio_blk_driver,	  &nvme_driver,
	&ahci_driver,	    &virtio_net_driver,	  NULL,
};

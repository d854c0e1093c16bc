/* Board interface for programs that use the core. hal/host implements it for tests, and hal/esp32 for the chip. */
#ifndef AIOT_HAL_H
#define AIOT_HAL_H

#include <stdint.h>

/* Milliseconds since startup; never decreases. */
uint64_t aiot_hal_uptime_ms(void);

#endif

#define _POSIX_C_SOURCE 199309L

#include "aiot/hal.h"

#include <time.h>

uint64_t aiot_hal_uptime_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

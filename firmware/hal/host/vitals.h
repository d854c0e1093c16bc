#ifndef AIOT_HOST_VITALS_H
#define AIOT_HOST_VITALS_H

#include "aiot/device.h"

/* The environment variable in which the launcher passes the reason for the start to the program, as a word of the protocol. */
#define AIOT_BOOT_VARIABLE "AIOT_DEVICE_BOOT"

/* The folders in which the kernel exposes the computer's state, /sys and /proc. A test can replace them. */
typedef struct {
  const char *sys;
  const char *proc;
  /* A folder on the file system whose space is reported. */
  const char *folder;
} aiot_vitals_source;

/* Takes the readings of this computer; `context` is an aiot_vitals_source. */
void aiot_host_vitals(void *context, aiot_vitals *vitals);

#endif

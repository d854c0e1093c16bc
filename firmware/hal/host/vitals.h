#ifndef AIOT_HOST_VITALS_H
#define AIOT_HOST_VITALS_H

#include "aiot/device.h"

/* The variable in which the launcher tells the program why it was started, a word of the protocol. */
#define AIOT_BOOT_VARIABLE "AIOT_DEVICE_BOOT"

/* Where the kernel shows the computer's state: the folder /sys and the folder /proc, which a test can replace. */
typedef struct {
  const char *sys;
  const char *proc;
  /* A folder on the file system whose space is reported. */
  const char *folder;
} aiot_vitals_source;

/* Takes the readings of this computer; `context` is an aiot_vitals_source. */
void aiot_host_vitals(void *context, aiot_vitals *vitals);

#endif

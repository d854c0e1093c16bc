/* Crashes of the native device's program: stored by a signal handler, and reported after the restart. */
#ifndef AIOT_HOST_CRASH_H
#define AIOT_HOST_CRASH_H

#include "aiot/crash.h"

/* Name of the file in the device's folder that holds a crash until the platform has its report. */
#define AIOT_CRASH_FILE "crash.bin"

/*
 * From now on, a fatal signal writes the crash to the folder's file before it ends the program. An older file is kept, so that the first
 * crash of a loop is reported. `version`: that of this program. `log`: the record of the device's last log lines.
 */
void aiot_host_crash_watch(const char *folder, const char *version, const aiot_tail *log);

/* Call it in the loop. Reports the stored crash once the device is connected, and deletes it when the report was acknowledged. */
void aiot_host_crash_step(aiot_device *device);

#endif

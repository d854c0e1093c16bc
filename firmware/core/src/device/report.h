/*
 * The device's reports: `reported`, presence, heartbeats, and lifecycle events. device.c passes the first three to the updates as
 * callbacks; device.c, inbox.c and look.c call the rest. Called in the device's loop. Messages are written to the buffer of
 * outbox.h.
 */
#ifndef AIOT_DEVICE_REPORT_H
#define AIOT_DEVICE_REPORT_H

#include "aiot/device.h"

/* Callbacks of an update; `context` is the device. */
void aiot_device_report(void *context, const aiot_update *update);
void aiot_device_heartbeat(void *context, const aiot_update *update);
bool aiot_device_acknowledged(void *context);

/*
 * Writes the `reported` message with the current state. If `status` is true, writes it as the result of the `status` command: with the
 * device's ID and without the proof. Returns the size in bytes, or 0 if the message does not fit.
 */
size_t aiot_device_reported(const aiot_device *device, aiot_message message, bool status);

/* Publishes presence, `reported` and a heartbeat if they are due. */
void aiot_device_announce(aiot_device *device);

/* Emits a lifecycle event: booted, online, offline, died. */
void aiot_device_tell(aiot_device *device, const char *event);

#endif

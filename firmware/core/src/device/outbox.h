/*
 * The lowest layer of the device, used by every part that sends: the clock, the buffer for one message, the queue, and events. It
 * also defines `aiot_device_topic` and `aiot_device_log`. Called only in the device's loop. The buffer belongs to the device and
 * is reused by the next call of any part that writes a message.
 */
#ifndef AIOT_DEVICE_OUTBOX_H
#define AIOT_DEVICE_OUTBOX_H

#include "aiot/device.h"

int64_t aiot_device_now(const aiot_device *device);
uint64_t aiot_device_uptime(const aiot_device *device);

/* Returns the message buffer, set to this encoding. */
aiot_message aiot_device_message(const aiot_device *device, aiot_encoding encoding);

/* Queues a copy of the payload. A payload that is too large for the queue is counted as dropped. */
void aiot_device_send(aiot_device *device, const char *topic, const void *payload, size_t bytes);

/*
 * Passes the JSON in the message buffer to the device's `event` function, as the member with that name. NULL = the JSON contains
 * the event's members.
 */
void aiot_device_event(const aiot_device *device, const char *name, const char *member, size_t bytes);

/* The name of a level, and the level of a name; AIOT_LOG_LEVELS = unknown. */
const char *aiot_log_level_name(aiot_log_level level);
aiot_log_level aiot_log_level_of(const char *name);

#endif

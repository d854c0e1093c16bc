/*
 * Handles messages for the device: desired releases and commands. An invalid payload is only logged. Called by device.c in its
 * loop.
 */
#ifndef AIOT_DEVICE_INBOX_H
#define AIOT_DEVICE_INBOX_H

#include "aiot/device.h"

/* Handles one message. Topic and payload belong to the caller and are not kept. */
void aiot_device_receive(aiot_device *device, const char *topic, const uint8_t *payload, size_t bytes);

#endif

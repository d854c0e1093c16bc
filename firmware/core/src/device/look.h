/*
 * The hourly check of the platform's timestamp. An attacker who withholds `desired` from a device must also withhold the timestamp, which
 * is detected and reported. Called by device.c on its loop.
 */
#ifndef AIOT_DEVICE_LOOK_H
#define AIOT_DEVICE_LOOK_H

#include "aiot/device.h"

/* Checks if due. Returns whether there is more to do at once. */
bool aiot_device_look(aiot_device *device);

#endif

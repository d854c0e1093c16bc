/*
 * The hourly check of the platform's timestamp. An attacker who withholds `desired` from a device must also withhold the timestamp, which
 * is detected and reported. Called by device.c in its loop.
 */
#ifndef AIOT_DEVICE_LOOK_H
#define AIOT_DEVICE_LOOK_H

#include "aiot/device.h"

/* Starts or continues a check if one is due. Returns whether more can be done at once. */
bool aiot_device_look(aiot_device *device);

#endif

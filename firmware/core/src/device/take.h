/* The take: samples that become telemetry and predictions. It defines `aiot_device_take`, `_sample`, `_ready` and `_take_end`; these are for the trials. On the device's loop. */
#ifndef AIOT_DEVICE_TAKE_H
#define AIOT_DEVICE_TAKE_H

#include "aiot/device.h"

/* Whether the active model predicts from each sample alone, at any rate. */
bool aiot_device_timeless(const aiot_device *device);

/* Another model is active: checks whether the take's fields and rate suit it. */
void aiot_device_match(aiot_device *device);

/* Another configuration is active: the take continues under it. */
void aiot_device_retake(aiot_device *device);

#endif

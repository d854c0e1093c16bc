/*
 * The take: samples that become telemetry and predictions. take.c also defines `aiot_device_take`, `_sample`, `_ready` and `_take_end`. The
 * functions below are for the trials. Called on the device's loop.
 */
#ifndef AIOT_DEVICE_TAKE_H
#define AIOT_DEVICE_TAKE_H

#include "aiot/device.h"

/* Whether the active model predicts from each sample alone, at any rate. */
bool aiot_device_timeless(const aiot_device *device);

/* Checks whether the take's fields and rate suit the model, after another one was activated. */
void aiot_device_match(aiot_device *device);

/* Continues the take under another configuration, which was activated. */
void aiot_device_retake(aiot_device *device);

#endif

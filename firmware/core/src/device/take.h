/*
 * The take: samples that become telemetry and predictions. take.c also defines aiot_device_take, aiot_device_sample,
 * aiot_device_ready and aiot_device_take_end. The functions below are for trials, and are called in the device's loop.
 */
#ifndef AIOT_DEVICE_TAKE_H
#define AIOT_DEVICE_TAKE_H

#include "aiot/device.h"

/* Whether the active model predicts from each sample individually, at any rate. */
bool aiot_device_timeless(const aiot_device *device);

/* Checks the take's fields and rate against the newly activated model. */
void aiot_device_match(aiot_device *device);

/* Continues the take with the newly activated configuration. */
void aiot_device_retake(aiot_device *device);

#endif

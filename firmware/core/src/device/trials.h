/*
 * The trial and activation of a model (model.c) and of a configuration (config.c), for device.c. The trials keep their state in the
 * device, which must outlive them.
 */
#ifndef AIOT_DEVICE_TRIALS_H
#define AIOT_DEVICE_TRIALS_H

#include "aiot/device.h"

aiot_trial aiot_device_model_trial(aiot_device *device);
aiot_trial aiot_device_config_trial(aiot_device *device);

#endif

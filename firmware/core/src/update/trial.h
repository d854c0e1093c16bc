/*
 * Last stage: from a staged slot to its end, committed or rolled back. For update.c, on the device's loop, one bounded piece of work per
 * call.
 */
#ifndef AIOT_TRIAL_H
#define AIOT_TRIAL_H

#include "job.h"

aiot_pace aiot_trial_step(aiot_update *u);

#endif

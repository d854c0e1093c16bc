/*
 * Last stage: from a staged slot to its end, committed or rolled back. Called by update.c on the device's loop; each call does one
 * bounded piece of work.
 */
#ifndef AIOT_TRIAL_H
#define AIOT_TRIAL_H

#include "job.h"

aiot_pace aiot_trial_step(aiot_update *u);

#endif

/*
 * Last stage: from a staged slot to its commit or rollback. Called by update.c in the device's loop. Each call does one bounded
 * piece of work.
 */
#ifndef AIOT_TRIAL_H
#define AIOT_TRIAL_H

#include "job.h"

aiot_pace aiot_trial_step(aiot_update *u);

#endif

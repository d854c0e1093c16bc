/*
 * First stage: from the desired release to a manifest that may be installed. Fetches the newest trust, then the manifest, and
 * checks the manifest against the trust's keys and timestamp. Called by update.c in the device's loop. Each call does one bounded
 * piece of work. The stage ends by starting the download.
 */
#ifndef AIOT_FETCH_H
#define AIOT_FETCH_H

#include "job.h"

aiot_pace aiot_manifest_step(aiot_update *u);

#endif

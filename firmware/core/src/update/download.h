/*
 * Second stage: from an accepted manifest to a verified, STAGED slot, built from a patch of the active slot or from the whole artifact.
 * fetch.c starts it. update.c runs it in the device's loop, with one bounded piece of work per call.
 */
#ifndef AIOT_DOWNLOAD_H
#define AIOT_DOWNLOAD_H

#include "job.h"

void aiot_begin_download(aiot_update *u);
aiot_pace aiot_download_step(aiot_update *u);

#endif

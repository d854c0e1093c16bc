/* Transfers bytes from the platform to the slot, for download.c and patch.c. Received bytes wait in the store's scratch sector. */
#ifndef AIOT_TRANSFER_H
#define AIOT_TRANSFER_H

#include "job.h"

/* Counts received bytes. False if they arrive too slowly. */
bool aiot_keeps_pace(aiot_update *u, uint32_t bytes);

/* Updates the byte count, and reports at each quarter of the download. */
void aiot_tell_progress(aiot_update *u);

/* Writes the waiting bytes, in whole sectors except for the last, which is padded to whole blocks. */
bool aiot_flush(aiot_update *u);

/* Ends the job because the artifact could not be downloaded. */
aiot_pace aiot_not_downloaded(aiot_update *u, const char *what);

/* Schedules a retry, or ends the job after the last attempt. */
aiot_pace aiot_ask_again(aiot_update *u, const char *what);

/* Starts VERIFYING, because all bytes are in the slot. */
aiot_pace aiot_downloaded(aiot_update *u);

#endif

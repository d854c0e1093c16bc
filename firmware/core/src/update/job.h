/*
 * The job of an update: installing one version in a slot, from the desired release to the end, and its record in flash. It is the
 * lowest layer of the update: the stages above it (fetch, download, trial) call it. It calls none of them, but sets the next
 * activity. It also defines `aiot_update_desire`. Called only in the device's loop. Its memory is the aiot_update, its store and
 * its line.
 */
#ifndef AIOT_JOB_H
#define AIOT_JOB_H

#include "aiot/update.h"

/* Whether the stage can continue at once or has to wait. */
typedef enum { MORE, LATER } aiot_pace;

/* Returns the other slot, or the first slot if `slot` is AIOT_NO_SLOT. */
int8_t aiot_other_slot(int slot);

/* Notifies the device that its state has changed. */
void aiot_report(aiot_update *u);

/* Writes the record to flash. If the flash failed, sets `dead` and returns false. */
bool aiot_persist(aiot_update *u);

/* Stops all work, because the flash failed. Always returns LATER. */
aiot_pace aiot_die(aiot_update *u);

/* Closes the connection to the platform if this update owns it. */
void aiot_abort(aiot_update *u);

/*
 * Called after a failed attempt. Schedules `next` after a delay, or returns false if this was the last attempt; the caller then
 * sets `u->error`.
 */
bool aiot_try_again(aiot_update *u, aiot_activity next);

/*
 * Ends the job without installing its version; `u->error` contains the reason. The phase becomes ROLLED_BACK if the version was
 * staged, otherwise IDLE. The previous version continues to run. If a desired release is waiting, it is started. Always returns
 * LATER.
 */
aiot_pace aiot_refuse(aiot_update *u);

/* Ends a successful trial: the slot becomes the active one, and sequence and floor are raised. */
aiot_pace aiot_commit(aiot_update *u);

/* Activates the record's active slot, if there is one. */
void aiot_put_to_use(aiot_update *u);

#endif

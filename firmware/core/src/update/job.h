/*
 * The job of an update: the one version on its way into a slot, from the desired release to the end, and its record in flash. The lowest
 * layer of the update: the stages above it (fetch, download, trial) call it, and it calls none of them, but sets the next activity. It
 * also defines `aiot_update_desire`. Called on the device's loop alone; memory is the aiot_update, its store and its line.
 */
#ifndef AIOT_JOB_H
#define AIOT_JOB_H

#include "aiot/update.h"

/* Whether more of the stage's work can be done at once, or it waits for its next turn. */
typedef enum { MORE, LATER } aiot_pace;

/* The other of the two slots; the first one if none is in use. */
int8_t aiot_other_slot(int slot);

/* Notifies the device that its state has changed. */
void aiot_report(aiot_update *u);

/* Writes the record to flash; false and dead if the flash failed. */
bool aiot_persist(aiot_update *u);

/* Stops all work, because the flash failed. Always returns LATER. */
aiot_pace aiot_die(aiot_update *u);

/* Closes the connection to the platform if this update holds it. */
void aiot_abort(aiot_update *u);

/*
 * After an attempt without result: waits before `next` is tried, or returns false if it was the last one (the caller then sets
 * `u->error`).
 */
bool aiot_try_again(aiot_update *u, aiot_activity next);

/*
 * Ends the job without its version; `u->error` gives the reason: ROLLED_BACK once it was staged, otherwise IDLE. The previous version
 * keeps running. A waiting desired release is started. Always LATER.
 */
aiot_pace aiot_refuse(aiot_update *u);

/* The trial has passed: the slot becomes the active one, and sequence and floor rise. */
aiot_pace aiot_commit(aiot_update *u);

/* Activates the record's active slot, if there is one. */
void aiot_put_to_use(aiot_update *u);

#endif

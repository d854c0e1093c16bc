/* The parts of the update's state machine, which are one program in several files. */
#ifndef AIOT_MACHINE_H
#define AIOT_MACHINE_H

#include "aiot/update.h"
#include "document.h"

/* What a piece of work says of the next one. */
typedef enum { MORE, LATER } aiot_pace;

/* The other of the two slots; the first one when none is in use. */
int8_t aiot_other_slot(int slot);

void aiot_report(aiot_update *u);

/* Writes the record down; false and dead where the flash failed. */
bool aiot_persist(aiot_update *u);

/* The flash failed: nothing more is done. Always LATER. */
aiot_pace aiot_die(aiot_update *u);

/*
 * Ends the job without its version, `u->error` saying why: ROLLED_BACK once it was staged, otherwise IDLE. What ran before runs on. A wish that waited
 * is begun. Always LATER.
 */
aiot_pace aiot_refuse(aiot_update *u);

/* The trial went well: the slot becomes the active one, and sequence and floor rise. */
aiot_pace aiot_commit(aiot_update *u);

/* From the wish to a manifest that may be taken. */
void aiot_begin_manifest(aiot_update *u);
aiot_pace aiot_manifest_step(aiot_update *u);

/* From the manifest to a slot that is verified and STAGED. */
void aiot_begin_download(aiot_update *u);
aiot_pace aiot_download_step(aiot_update *u);

/* Whether the patch that was offered is used: by_delta, and what is told of it. The record's download is as before. */
void aiot_choose_delta(aiot_update *u);
/* What the slot is made of: the patch, or the whole. */
const uint8_t *aiot_source_digest(const aiot_update *u);
/* The slot is erased again, and the whole downloaded. */
aiot_pace aiot_fall_back(aiot_update *u, aiot_code code, const char *why);
/* Before the first byte of a patch, and from which one on it is asked for. */
void aiot_begin_patch(aiot_update *u);
uint32_t aiot_patch_from(const aiot_update *u);
/* One piece of it: what was read is decoded, or more is read. */
aiot_pace aiot_patch_step(aiot_update *u);
/* Of download.c, for both: all is in the slot; the next attempt; what waits is written; how far it is. */
aiot_pace aiot_downloaded(aiot_update *u);
aiot_pace aiot_ask_again(aiot_update *u, const char *what);
bool aiot_flush(aiot_update *u);
/* Counts bytes that came; false where they come too slowly. */
bool aiot_keeps_pace(aiot_update *u, uint32_t bytes);
void aiot_tell_progress(aiot_update *u);

/* From STAGED to the end. */
aiot_pace aiot_trial_step(aiot_update *u);

/* Ends what is under way with the platform. */
void aiot_abort(aiot_update *u);

/* An attempt brought nothing: waits for the next one, or says that it was the last (then `u->error` tells). */
bool aiot_try_again(aiot_update *u, aiot_activity next);

#endif

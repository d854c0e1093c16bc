/*
 * Builds a slot from the active one with a patch, for download.c, which erases, requests and verifies in the same way for patches
 * and whole artifacts. The decoder is in the line's memory, which is available once the manifest has been read.
 */
#ifndef AIOT_PATCH_H
#define AIOT_PATCH_H

#include "job.h"

/*
 * Decides whether the offered patch is used. Sets by_delta and the reason that is reported. The record's download stays
 * unchanged.
 */
void aiot_choose_delta(aiot_update *u);

/* Digest of the blob from which the slot is built: the patch, or the whole artifact. */
const uint8_t *aiot_source_digest(const aiot_update *u);

/* Prepares the decoder for the first byte of a patch. */
void aiot_begin_patch(aiot_update *u);

/* Offset from which the patch is requested. */
uint32_t aiot_patch_from(const aiot_update *u);

/* Decodes bytes that have been read, or reads more. */
aiot_pace aiot_patch_step(aiot_update *u);

/* Abandons the patch: erases the slot again and downloads the whole artifact. */
aiot_pace aiot_fall_back(aiot_update *u, aiot_code code, const char *why);

#endif

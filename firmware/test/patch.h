/*
 * Patches for tests: a single piece with the difference of two blobs of equal length, in the format of docs/reference/protocol.md. Real
 * ones are created by src/lib/formats/delta.
 */
#ifndef AIOT_TEST_PATCH_H
#define AIOT_TEST_PATCH_H

#include <stddef.h>
#include <stdint.h>

/* Returns its length; ends the program if `room` is too small. */
size_t patch_of(const uint8_t *base, const uint8_t *next, size_t bytes, uint8_t *out, size_t room);

#endif

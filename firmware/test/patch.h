/*
 * Patches for tests. Each has a single piece with the difference of two blobs of equal length, in the format of
 * docs/reference/protocol.md. src/lib/formats/delta creates the patches of real releases.
 */
#ifndef AIOT_TEST_PATCH_H
#define AIOT_TEST_PATCH_H

#include <stddef.h>
#include <stdint.h>

/* Returns the patch's length. Ends the program if `room` is too small. */
size_t patch_of(const uint8_t *base, const uint8_t *next, size_t bytes, uint8_t *out, size_t room);

#endif

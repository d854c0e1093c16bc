/* ustar archives, the format of bundles (docs/reference/bundles.md). */
#ifndef AIOT_ARCHIVE_H
#define AIOT_ARCHIVE_H

#include <stdbool.h>
#include <stddef.h>

#include "aiot/bundle.h"

/* Reads the member at `*at`, which must have this name, and moves `*at` past it. False if it is missing, changed or truncated. */
bool aiot_archive_next(const uint8_t *data, size_t bytes, size_t *at, const char *name, aiot_span *member);

/* Whether the archive ends at `at`, with only zeros up to the end of its record. */
bool aiot_archive_ends(const uint8_t *data, size_t bytes, size_t at);

#endif

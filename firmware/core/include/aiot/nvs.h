/*
 * Reads settings out of an ESP-IDF NVS partition (version 2, not encrypted) where it lies: what `aiot firmware nvs` and the vendor's generator
 * write. Nothing is allocated or cached, so that any board can read what it was provisioned with.
 */
#ifndef AIOT_NVS_H
#define AIOT_NVS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "aiot/ports.h"

typedef struct {
  const aiot_flash *flash;
  uint32_t offset;
  uint32_t bytes;
} aiot_nvs;

/* A signed or unsigned integer of any width. False where there is none of this name, or it does not fit. */
bool aiot_nvs_integer(const aiot_nvs *nvs, const char *namespace_name, const char *key, int64_t *value);

/* A string, ended by a NUL, and its length; false where there is none, its sums are wrong, or it does not fit into `room`. */
bool aiot_nvs_string(const aiot_nvs *nvs, const char *namespace_name, const char *key, char *out, size_t room, size_t *bytes);

/* A blob (both versions); `bytes` is its size, also where it does not fit into `room` (then nothing is read, and the answer false). */
bool aiot_nvs_blob(const aiot_nvs *nvs, const char *namespace_name, const char *key, void *out, size_t room, size_t *bytes);

#endif

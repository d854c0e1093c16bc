/*
 * Reads settings directly from an ESP-IDF NVS partition (version 2, not encrypted), as written by
 * `aiot firmware nvs` and the vendor's generator. Nothing is allocated or cached, so any board can use it.
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

/* Reads a signed or unsigned integer of any width. False if there is none with this name, or the value does not fit. */
bool aiot_nvs_integer(const aiot_nvs *nvs, const char *namespace_name, const char *key, int64_t *value);

/*
 * Reads a string, which is terminated by a NUL, and its length. False if it does not exist, a checksum is wrong, or it exceeds
 * `room`.
 */
bool aiot_nvs_string(const aiot_nvs *nvs, const char *namespace_name, const char *key, char *out, size_t room, size_t *bytes);

/*
 * Reads a blob of either version. `bytes` is its size, even if it does not fit into `room`; in that case, nothing is read and
 * false is returned.
 */
bool aiot_nvs_blob(const aiot_nvs *nvs, const char *namespace_name, const char *key, void *out, size_t room, size_t *bytes);

#endif

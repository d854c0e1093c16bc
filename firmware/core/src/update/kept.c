#include "kept.h"

#include <string.h>

enum { NUMBERS = AIOT_SHA256_BYTES, ROLES = NUMBERS + 5 * 8, KEYS = ROLES + AIOT_ROLES * 8 + 4, KEY_BYTES = AIOT_SHA256_BYTES + 1 + AIOT_SPKI_BYTES };

_Static_assert(KEYS + AIOT_KEYS_MAX * KEY_BYTES <= AIOT_KEPT_BODY, "the stored keys fit into their record");

static uint8_t *put(uint8_t *at, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; i++) *at++ = (uint8_t)(value >> (8 * i));
  return at;
}

static uint64_t get(const uint8_t **at, int bytes) {
  uint64_t value = 0;
  for (int i = 0; i < bytes; i++) value |= (uint64_t)*(*at)++ << (8 * i);
  return value;
}

void aiot_kept_write(uint8_t body[AIOT_KEPT_BODY], const aiot_trust *trust, const aiot_kept *kept, const uint8_t anchor[AIOT_SHA256_BYTES]) {
  uint8_t *at = body + NUMBERS;
  memset(body, 0, AIOT_KEPT_BODY);
  memcpy(body, anchor, AIOT_SHA256_BYTES);
  at = put(at, (uint64_t)kept->epoch, 8);
  at = put(at, (uint64_t)kept->stamp_version, 8);
  at = put(at, (uint64_t)kept->stamp_issued, 8);
  at = put(at, (uint64_t)trust->version, 8);
  at = put(at, (uint64_t)trust->expires, 8);
  for (int role = 0; role < AIOT_ROLES; role++) {
    at = put(at, trust->role[role].keys, 4);
    at = put(at, trust->role[role].threshold, 4);
  }
  at = put(at, trust->keys, 4);
  for (size_t i = 0; i < trust->keys; i++, at += KEY_BYTES) {
    memcpy(at, trust->key[i].id, AIOT_SHA256_BYTES);
    at[AIOT_SHA256_BYTES] = trust->key[i].spki_bytes;
    memcpy(at + AIOT_SHA256_BYTES + 1, trust->key[i].spki, trust->key[i].spki_bytes);
  }
}

bool aiot_kept_read(const uint8_t body[AIOT_KEPT_BODY], aiot_trust *trust, aiot_kept *kept, const uint8_t anchor[AIOT_SHA256_BYTES]) {
  const uint8_t *at = body + NUMBERS;
  if (memcmp(body, anchor, AIOT_SHA256_BYTES) != 0) return false;
  memset(trust, 0, sizeof *trust);
  kept->epoch = (int64_t)get(&at, 8);
  kept->stamp_version = (int64_t)get(&at, 8);
  kept->stamp_issued = (int64_t)get(&at, 8);
  trust->version = (int64_t)get(&at, 8);
  trust->expires = (int64_t)get(&at, 8);
  for (int role = 0; role < AIOT_ROLES; role++) {
    trust->role[role].keys = (uint32_t)get(&at, 4);
    trust->role[role].threshold = (uint32_t)get(&at, 4);
  }
  trust->keys = (size_t)get(&at, 4);
  if (trust->keys > AIOT_KEYS_MAX) return false;
  for (size_t i = 0; i < trust->keys; i++, at += KEY_BYTES) {
    memcpy(trust->key[i].id, at, AIOT_SHA256_BYTES);
    trust->key[i].spki_bytes = at[AIOT_SHA256_BYTES];
    if (trust->key[i].spki_bytes > AIOT_SPKI_BYTES) return false;
    memcpy(trust->key[i].spki, at + AIOT_SHA256_BYTES + 1, trust->key[i].spki_bytes);
  }
  return true;
}

#include <string.h>

#include "../base64.h"
#include "aiot/json.h"
#include "aiot/manifest.h"
#include "names.h"

/* Reads a key from a base64 string, if it fits. Stores its DER in `spki` and its digest in `id`; returns its size. */
static size_t read_key(aiot_json *json, const aiot_crypto *crypto, uint8_t spki[AIOT_SPKI_BYTES],
                       uint8_t id[AIOT_SHA256_BYTES]) {
  size_t text_bytes = 0;
  const char *text = aiot_json_raw(json, &text_bytes);
  if (!aiot_base64_formed(text, text_bytes)) json->failed = true;
  const size_t bytes = json->failed || text_bytes == 0 ? 0 : aiot_base64_bytes(text, text_bytes);
  if (bytes == 0 || bytes > AIOT_SPKI_BYTES || !aiot_base64_decode(text, text_bytes, spki)) return 0;
  uint64_t state[AIOT_SHA256_STATE_BYTES / 8];
  crypto->sha256_begin(crypto->context, state);
  crypto->sha256_update(crypto->context, state, spki, bytes);
  crypto->sha256_end(crypto->context, state, id);
  return bytes;
}

/* Reads all keys whose id is their digest; their roles are read later. False = there are too many. */
static bool read_keys(aiot_json *json, aiot_trust *trust, const aiot_crypto *crypto) {
  trust->keys = 0;
  aiot_json_enter(json, '{');
  while (aiot_json_key(json)) {
    uint8_t told[AIOT_SHA256_BYTES], id[AIOT_SHA256_BYTES], spki[AIOT_SPKI_BYTES];
    const bool named = json->key_bytes == 64 && aiot_read_hex(json->key, told);
    size_t bytes = 0;
    unsigned seen = 0;
    aiot_json_enter(json, '{');
    while (aiot_json_key(json)) {
      if (aiot_json_is(json, "algorithm")) {
        aiot_expect_string(json, "ecdsa-p256-sha256");
        seen |= 1;
      } else if (aiot_json_is(json, "publicKey")) {
        bytes = read_key(json, crypto, spki, id);
        seen |= 2;
      } else {
        json->failed = true;
      }
    }
    if (seen != 3) json->failed = true;
    if (json->failed || !named || bytes == 0 || memcmp(told, id, sizeof id) != 0) continue;
    if (trust->keys == AIOT_KEYS_MAX) return false;
    memcpy(trust->key[trust->keys].id, id, sizeof id);
    memcpy(trust->key[trust->keys].spki, spki, bytes);
    trust->key[trust->keys++].spki_bytes = (uint8_t)bytes;
  }
  return true;
}

/* Reads an array of key ids, and returns one bit for each of the keys that were read before. */
static uint32_t read_ids(aiot_json *json, const aiot_trust *trust) {
  uint32_t found = 0;
  size_t count = 0;
  aiot_json_enter(json, '[');
  for (; aiot_json_element(json); count++) {
    size_t bytes = 0;
    uint8_t id[AIOT_SHA256_BYTES];
    const char *text = aiot_read_keyid(json, &bytes);
    if (bytes != 2 * sizeof id || !aiot_read_hex(text, id)) continue;
    for (size_t i = 0; i < trust->keys; i++)
      if (memcmp(trust->key[i].id, id, sizeof id) == 0) found |= (uint32_t)1 << i;
  }
  if (count == 0) json->failed = true;
  return found;
}

static void read_role(aiot_json *json, aiot_trust *trust, aiot_role role) {
  unsigned seen = 0;
  aiot_json_enter(json, '{');
  while (aiot_json_key(json)) {
    if (aiot_json_is(json, "threshold")) {
      const int64_t threshold = aiot_read_integer(json, 1);
      trust->role[role].threshold = threshold > AIOT_KEYS_MAX ? AIOT_KEYS_MAX + 1 : (uint32_t)threshold;
      seen |= 1;
    } else if (aiot_json_is(json, "keyids")) {
      trust->role[role].keys = read_ids(json, trust);
      seen |= 2;
    } else {
      json->failed = true;
    }
  }
  if (seen != 3) json->failed = true;
}

/* Reads the roles with these names, all of which are required. */
static bool read_roles(aiot_trust *trust, const char *text, size_t bytes, const char *const *names, unsigned count) {
  aiot_json json;
  unsigned seen = 0;
  aiot_json_begin(&json, text, bytes);
  aiot_json_enter(&json, '{');
  while (aiot_json_key(&json)) {
    unsigned role = 0;
    while (role < count && !aiot_json_is(&json, names[role])) role++;
    if (role == count) json.failed = true;
    else read_role(&json, trust, (aiot_role)role);
    seen |= 1u << role;
  }
  return aiot_json_done(&json) && seen == (1u << count) - 1;
}

/*
 * Reads the part that a root and a bare trust root have in common. `is_root`: it also has times. Errors: AIOT_CONFIG_MALFORMED,
 * AIOT_MEMORY_SHORT.
 */
static aiot_code read_trust(aiot_trust *trust, const void *text, size_t bytes, bool is_root, const aiot_crypto *crypto) {
  static const char *const bare[] = {"release"}, *const apart[] = {"root", "targets", "timestamp"};
  aiot_json json;
  const char *roles = "";
  size_t roles_bytes = 0;
  unsigned seen = 0;
  memset(trust, 0, sizeof *trust);
  trust->expires = INT64_MAX;
  aiot_json_begin(&json, text, bytes);
  aiot_json_enter(&json, '{');
  while (aiot_json_key(&json)) {
    if (aiot_json_is(&json, "spec")) {
      aiot_expect_string(&json, is_root ? "aiot-root/1" : "aiot-trust/1");
      seen |= 1;
    } else if (aiot_json_is(&json, "version")) {
      trust->version = aiot_read_integer(&json, 1);
      seen |= 2;
    } else if (aiot_json_is(&json, "keys")) {
      if (!read_keys(&json, trust, crypto)) return AIOT_MEMORY_SHORT;
      seen |= 4;
    } else if (aiot_json_is(&json, "roles")) {
      roles = aiot_json_value(&json, &roles_bytes);
      seen |= 8;
    } else if (is_root && aiot_json_is(&json, "issued")) {
      aiot_json_integer(&json);
      seen |= 16;
    } else if (is_root && aiot_json_is(&json, "expires")) {
      trust->expires = aiot_json_integer(&json);
      seen |= 32;
    } else {
      json.failed = true;
    }
  }
  const bool whole = aiot_json_done(&json) && seen == (is_root ? 63u : 15u) &&
                     read_roles(trust, roles, roles_bytes, is_root ? apart : bare, is_root ? AIOT_ROLES : 1);
  return whole ? AIOT_OK : AIOT_CONFIG_MALFORMED;
}

aiot_code aiot_trust_read(aiot_trust *trust, const void *text, size_t bytes, const aiot_crypto *crypto) {
  const aiot_code code = read_trust(trust, text, bytes, false, crypto);
  if (code != AIOT_OK) memset(trust, 0, sizeof *trust);
  trust->role[AIOT_ROLE_TARGETS] = trust->role[AIOT_ROLE_ROOT];
  return code;
}

aiot_code aiot_root_read(aiot_trust *trust, const void *text, size_t bytes, const aiot_crypto *crypto) {
  const aiot_code code = read_trust(trust, text, bytes, true, crypto);
  if (code != AIOT_OK) memset(trust, 0, sizeof *trust);
  return code == AIOT_CONFIG_MALFORMED ? AIOT_MANIFEST_MALFORMED : code;
}

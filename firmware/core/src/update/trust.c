#include <string.h>

#include "../base64.h"
#include "aiot/json.h"
#include "aiot/manifest.h"
#include "names.h"

/* The digest of a key that is a string of base64, if it fits; its DER in `spki`. */
static size_t read_key(aiot_json *json, const aiot_crypto *crypto, uint8_t spki[AIOT_SPKI_BYTES],
                       uint8_t id[AIOT_SHA256_BYTES]) {
  size_t text_bytes = 0;
  const char *text = aiot_json_raw(json, &text_bytes);
  if (!aiot_base64_formed(text, text_bytes)) json->failed = true;
  const size_t bytes = json->failed ? 0 : aiot_base64_bytes(text, text_bytes);
  if (bytes == 0 || bytes > AIOT_SPKI_BYTES || !aiot_base64_decode(text, text_bytes, spki)) return 0;
  uint64_t state[AIOT_SHA256_STATE_BYTES / 8];
  crypto->sha256_begin(crypto->context, state);
  crypto->sha256_update(crypto->context, state, spki, bytes);
  crypto->sha256_end(crypto->context, state, id);
  return bytes;
}

static bool read_algorithm(aiot_json *json) {
  char algorithm[32];
  aiot_json_string(json, algorithm, sizeof algorithm);
  if (strcmp(algorithm, "ecdsa-p256-sha256") != 0) json->failed = true;
  return true;
}

/* All keys of the root whose id is their digest; which of them may sign is said elsewhere. */
static void read_keys(aiot_json *json, aiot_trust *trust, const aiot_crypto *crypto) {
  trust->keys = 0;
  aiot_json_enter(json, '{');
  while (aiot_json_key(json)) {
    uint8_t told[AIOT_SHA256_BYTES], id[AIOT_SHA256_BYTES], spki[AIOT_SPKI_BYTES];
    const bool named = json->key_bytes == 64 && aiot_read_hex(json->key, told);
    size_t bytes = 0;
    bool has_key = false, has_algorithm = false;
    aiot_json_enter(json, '{');
    while (aiot_json_key(json)) {
      if (aiot_json_is(json, "algorithm")) {
        has_algorithm = read_algorithm(json);
      } else if (aiot_json_is(json, "publicKey")) {
        bytes = read_key(json, crypto, spki, id);
        has_key = true;
      } else {
        json->failed = true;
      }
    }
    if (!has_key || !has_algorithm) json->failed = true;
    if (json->failed || !named || bytes == 0 || memcmp(told, id, sizeof id) != 0) continue;
    if (trust->keys == AIOT_KEYS_MAX) {
      json->failed = true;
      return;
    }
    memcpy(trust->key[trust->keys].id, id, sizeof id);
    memcpy(trust->key[trust->keys].spki, spki, bytes);
    trust->key[trust->keys++].spki_bytes = bytes;
  }
}

/* Who may sign releases, a bit each of the keys; the ids are `text`, an array that was read before. */
static uint32_t release_keys(const aiot_trust *trust, const char *text, size_t bytes) {
  aiot_json json;
  uint32_t found = 0;
  aiot_json_begin(&json, text, bytes);
  aiot_json_enter(&json, '[');
  while (aiot_json_element(&json)) {
    size_t id_bytes = 0;
    uint8_t id[AIOT_SHA256_BYTES];
    const char *id_text = aiot_json_raw(&json, &id_bytes);
    if (id_bytes != 64 || !aiot_read_hex(id_text, id)) continue;
    for (size_t i = 0; i < trust->keys; i++)
      if (memcmp(trust->key[i].id, id, sizeof id) == 0) found |= (uint32_t)1 << i;
  }
  return found;
}

/* The role `release`: threshold, and its ids as they stand in the text. */
static void read_release(aiot_json *json, aiot_trust *trust, const char **ids, size_t *ids_bytes) {
  bool has_threshold = false;
  size_t count = 0;
  aiot_json_enter(json, '{');
  while (aiot_json_key(json)) {
    if (aiot_json_is(json, "threshold")) {
      const int64_t threshold = aiot_read_integer(json, 1);
      trust->threshold = threshold > AIOT_KEYS_MAX ? AIOT_KEYS_MAX + 1 : (size_t)threshold;
      has_threshold = true;
    } else if (aiot_json_is(json, "keyids")) {
      aiot_json ahead = *json;
      *ids = aiot_json_value(json, ids_bytes);
      aiot_json_enter(&ahead, '[');
      for (count = 0; aiot_json_element(&ahead); count++) aiot_skip_string(&ahead);
      if (ahead.failed) json->failed = true;
    } else {
      json->failed = true;
    }
  }
  if (!has_threshold || count == 0) json->failed = true;
}

aiot_code aiot_trust_read(aiot_trust *trust, const void *text, size_t bytes, const aiot_crypto *crypto) {
  aiot_json json;
  char spec[16] = "";
  const char *ids = "";
  size_t ids_bytes = 0;
  unsigned seen = 0;
  memset(trust, 0, sizeof *trust);
  aiot_json_begin(&json, text, bytes);
  aiot_json_enter(&json, '{');
  while (aiot_json_key(&json)) {
    if (aiot_json_is(&json, "spec")) {
      aiot_json_string(&json, spec, sizeof spec);
    } else if (aiot_json_is(&json, "version")) {
      aiot_read_integer(&json, 1);
      seen |= 1;
    } else if (aiot_json_is(&json, "keys")) {
      read_keys(&json, trust, crypto);
      seen |= 2;
    } else if (aiot_json_is(&json, "roles")) {
      aiot_json_enter(&json, '{');
      while (aiot_json_key(&json)) {
        if (aiot_json_is(&json, "release")) read_release(&json, trust, &ids, &ids_bytes);
        else json.failed = true;
      }
      seen |= 4;
    } else {
      json.failed = true;
    }
  }
  if (!aiot_json_done(&json) || seen != 7 || strcmp(spec, "aiot-trust/1") != 0 || ids_bytes == 0) {
    memset(trust, 0, sizeof *trust);
    return AIOT_CONFIG_MALFORMED;
  }
  const uint32_t release = release_keys(trust, ids, ids_bytes);
  size_t kept = 0;
  for (size_t i = 0; i < trust->keys; i++)
    if ((release >> i & 1) != 0) trust->key[kept++] = trust->key[i];
  trust->keys = kept;
  return AIOT_OK;
}

/* The entries and their order are those of src/lib/provision/device-image.ts, except that the name is last. */
#include "store.h"

#include <stdio.h>
#include <string.h>

#include "aiot/trust.h"

/* PIECE_BYTES: length of a part of the root. A blob cannot span pages in version 1 of NVS. */
enum { LAYOUT = 1, PIECE_BYTES = 1500, ROOT_BYTES = 16384 };

static const char aiot[] = "aiot", aiot_trust_space[] = "aiot_trust", update[] = "aiot_update";

static void write_hex(const uint8_t id[AIOT_SHA256_BYTES], char out[2 * AIOT_SHA256_BYTES + 1]) {
  for (size_t i = 0; i < AIOT_SHA256_BYTES; i++) snprintf(out + 2 * i, 3, "%02x", id[i]);
}

/* Stores the keys that may sign releases. */
static bool put_keys(const aiot_settings *to, const aiot_trust *trust) {
  char name[8], hex[2 * AIOT_SHA256_BYTES + 1];
  unsigned count = 0;
  for (size_t i = 0; i < trust->keys; i++) {
    if ((trust->role[AIOT_ROLE_TARGETS].keys >> i & 1u) == 0) continue;
    write_hex(trust->key[i].id, hex);
    snprintf(name, sizeof name, "id%u", count);
    if (!to->put_text(to->context, aiot_trust_space, name, hex)) return false;
    snprintf(name, sizeof name, "key%u", count++);
    if (!to->put_blob(to->context, aiot_trust_space, name, trust->key[i].spki, trust->key[i].spki_bytes)) return false;
  }
  return to->put_number(to->context, aiot_trust_space, "version", 32, (uint64_t)trust->version) &&
         to->put_number(to->context, aiot_trust_space, "threshold", 8, trust->role[AIOT_ROLE_TARGETS].threshold) &&
         to->put_number(to->context, aiot_trust_space, "keys", 8, count);
}

static bool put_root(const aiot_settings *to, const aiot_span *root) {
  char name[8];
  unsigned piece = 0;
  for (size_t at = 0; at < root->bytes; at += PIECE_BYTES) {
    const size_t left = root->bytes - at;
    snprintf(name, sizeof name, "root%u", piece++);
    if (!to->put_blob(to->context, aiot_trust_space, name, root->text + at, left < PIECE_BYTES ? left : PIECE_BYTES)) return false;
  }
  return true;
}

static aiot_store_result put_trust(const aiot_enroll_setup *setup, const aiot_enroll_answer *answer, aiot_trust *trust) {
  const aiot_settings *to = setup->settings;
  if (answer->trust.text != NULL && aiot_trust_read(trust, answer->trust.text, answer->trust.bytes, setup->crypto) != AIOT_OK) return AIOT_STORE_INVALID;
  if (answer->root.bytes > ROOT_BYTES) return AIOT_STORE_INVALID;
  /* Parts of a longer root may remain from an attempt that was interrupted. */
  if (!to->erase(to->context, aiot_trust_space)) return AIOT_STORE_FAILED;
  if (answer->trust.text != NULL && !put_keys(to, trust)) return AIOT_STORE_FAILED;
  if (answer->root.text == NULL) return AIOT_STORED;
  if (!put_root(to, &answer->root)) return AIOT_STORE_FAILED;
  /* The text is in the memory of the setup, so it may be changed. */
  char *root = (char *)setup->memory + (answer->root.text - (const char *)setup->memory);
  return aiot_root_open(trust, root, answer->root.bytes, setup->crypto) == AIOT_OK ? AIOT_STORED : AIOT_STORE_INVALID;
}

static bool put_string(const aiot_settings *to, const char *key, const aiot_span *value, char *scratch) {
  return aiot_span_string(value, scratch, AIOT_ENROLL_PEM_BYTES) && to->put_text(to->context, aiot, key, scratch);
}

aiot_store_result aiot_enroll_store(const aiot_enroll_setup *setup, const aiot_enroll_answer *answer, aiot_trust *trust, char *scratch) {
  const aiot_settings *to = setup->settings;
  const aiot_store_result result = put_trust(setup, answer, trust);
  if (result != AIOT_STORED) return result;
  const bool stored = to->put_number(to->context, update, "sequence", 64, (uint64_t)answer->sequence) &&
                      to->put_number(to->context, update, "floor", 64, (uint64_t)answer->floor) &&
                      to->put_number(to->context, aiot, "layout", 8, LAYOUT) && put_string(to, "id", &answer->id, scratch) &&
                      put_string(to, "type", &answer->type, scratch) && to->put_text(to->context, aiot, "chip", setup->chip) &&
                      (answer->chip_id.text == NULL || put_string(to, "chip_id", &answer->chip_id, scratch)) &&
                      to->put_number(to->context, aiot, "model_slot", 8, 0) && put_string(to, "http", &answer->http, scratch) &&
                      put_string(to, "mqtts", &answer->mqtts, scratch) && put_string(to, "ca", &answer->ca, scratch) &&
                      put_string(to, "certificate", &answer->certificate, scratch) && to->put_text(to->context, aiot, "name", answer->name);
  return stored ? AIOT_STORED : AIOT_STORE_FAILED;
}

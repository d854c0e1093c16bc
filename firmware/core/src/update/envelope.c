#include <string.h>

#include "../base64.h"
#include "aiot/json.h"
#include "aiot/manifest.h"
#include "names.h"

/* Maximum size of a signature in DER: a sequence of two integers of at most 33 bytes. */
enum { SIGNATURE_BYTES = 72 };

typedef struct {
  const char *keyid;
  size_t keyid_bytes;
  const char *sig;
  size_t sig_bytes;
} signature;

/* Reads a base64 string; returns its raw text. */
static const char *read_base64(aiot_json *json, size_t *bytes) {
  const char *text = aiot_json_raw(json, bytes);
  if (!aiot_base64_formed(text, *bytes)) json->failed = true;
  return text;
}

static signature read_signature(aiot_json *json) {
  signature found = {"", 0, "", 0};
  unsigned seen = 0;
  aiot_json_enter(json, '{');
  while (aiot_json_key(json)) {
    if (aiot_json_is(json, "keyid")) {
      found.keyid = aiot_read_keyid(json, &found.keyid_bytes);
      seen |= 1;
    } else if (aiot_json_is(json, "sig")) {
      found.sig = read_base64(json, &found.sig_bytes);
      seen |= 2;
    } else {
      json->failed = true;
    }
  }
  if (seen != 3) json->failed = true;
  return found;
}

/* Reads the signatures and checks their format; returns their text. */
static const char *read_signatures(aiot_json *json, size_t *bytes) {
  aiot_json ahead = *json;
  size_t count = 0;
  aiot_json_enter(&ahead, '[');
  for (; aiot_json_element(&ahead); count++) read_signature(&ahead);
  if (ahead.failed || count == 0) json->failed = true;
  return aiot_json_value(json, bytes);
}

aiot_code aiot_envelope_open(aiot_envelope *envelope, char *memory, size_t bytes, const char *what, const aiot_crypto *crypto,
                             aiot_error *error) {
  aiot_json json;
  const char *payload = NULL;
  size_t payload_bytes = 0;
  *envelope = (aiot_envelope){.crypto = crypto};
  if (bytes > AIOT_ENVELOPE_BYTES) {
    aiot_error_set(error, AIOT_MANIFEST_MALFORMED, "expected at most %u bytes of %s", AIOT_ENVELOPE_BYTES, what);
    return AIOT_MANIFEST_MALFORMED;
  }
  aiot_json_begin(&json, memory, bytes);
  aiot_json_enter(&json, '{');
  while (aiot_json_key(&json)) {
    if (aiot_json_is(&json, "payload")) payload = read_base64(&json, &payload_bytes);
    else if (aiot_json_is(&json, "signatures")) envelope->signatures = read_signatures(&json, &envelope->signatures_bytes);
    else json.failed = true;
  }
  /* The payload is decoded in place, so that it overwrites its text. */
  envelope->payload_bytes = payload_bytes == 0 ? 0 : aiot_base64_bytes(payload, payload_bytes);
  uint8_t *decoded = payload == NULL ? NULL : (uint8_t *)memory + (payload - memory);
  if (!aiot_json_done(&json) || payload == NULL || envelope->signatures == NULL ||
      !aiot_base64_decode(payload, payload_bytes, decoded)) {
    aiot_error_set(error, AIOT_MANIFEST_MALFORMED, "the %s's envelope is malformed", what);
    return AIOT_MANIFEST_MALFORMED;
  }
  envelope->payload = decoded;
  uint64_t state[AIOT_SHA256_STATE_BYTES / 8];
  crypto->sha256_begin(crypto->context, state);
  crypto->sha256_update(crypto->context, state, envelope->payload, envelope->payload_bytes);
  crypto->sha256_end(crypto->context, state, envelope->digest);
  return AIOT_OK;
}

void aiot_envelope_signers(aiot_envelope *envelope, const aiot_trust *trust, aiot_role role) {
  envelope->trust = trust;
  envelope->role = role;
  envelope->at = 0;
  envelope->valid = 0;
}

/* The key that made a signature, or the number of keys if that key is not allowed to sign. */
static size_t key_of(const aiot_trust *trust, aiot_role role, const signature *s) {
  uint8_t id[AIOT_SHA256_BYTES];
  if (s->keyid_bytes != 2 * sizeof id || !aiot_read_hex(s->keyid, id)) return trust->keys;
  size_t i = 0;
  while (i < trust->keys && memcmp(trust->key[i].id, id, sizeof id) != 0) i++;
  return (trust->role[role].keys >> i & 1) != 0 ? i : trust->keys;
}

static bool is_valid(const aiot_envelope *e, const signature *s, size_t key) {
  uint8_t der[SIGNATURE_BYTES];
  const size_t bytes = s->sig_bytes == 0 ? 0 : aiot_base64_bytes(s->sig, s->sig_bytes);
  if (bytes == 0 || bytes > sizeof der || !aiot_base64_decode(s->sig, s->sig_bytes, der)) return false;
  return e->crypto->verify_p256(e->crypto->context, e->trust->key[key].spki, e->trust->key[key].spki_bytes, e->digest,
                                der, bytes);
}

/* Sets the error for too few valid signatures, and returns its code. */
static aiot_code too_few(const aiot_envelope *e, uint32_t valid, aiot_error *error) {
  static const aiot_code codes[AIOT_ROLES] = {AIOT_TRUST_SIGNATURES, AIOT_SIGNATURE_INVALID, AIOT_TIMESTAMP_INVALID};
  const uint32_t threshold = e->trust->role[e->role].threshold;
  const char *keys = e->role == AIOT_ROLE_ROOT ? "root" : "timestamp";
  if (e->role == AIOT_ROLE_TARGETS)
    aiot_error_set(error, codes[e->role], "expected %u valid release signature(s), got %u", (unsigned)threshold, (unsigned)valid);
  else
    aiot_error_set(error, codes[e->role], "expected %u valid signature(s) of the %s keys of root %lld, got %u", (unsigned)threshold, keys,
                   (long long)e->trust->version, (unsigned)valid);
  return codes[e->role];
}

bool aiot_envelope_step(aiot_envelope *e, aiot_code *code, aiot_error *error) {
  aiot_json json;
  size_t index = 0;
  *code = AIOT_OK;
  if (e->trust == NULL) {
    aiot_error_set(error, AIOT_SIGNATURE_INVALID, "the device has no trust root");
    *code = AIOT_SIGNATURE_INVALID;
    return true;
  }
  aiot_json_begin(&json, e->signatures, e->signatures_bytes);
  aiot_json_enter(&json, '[');
  for (; aiot_json_element(&json); index++) {
    const signature s = read_signature(&json);
    if (index < e->at) continue;
    e->at++;
    const size_t key = key_of(e->trust, e->role, &s);
    /* Each key counts only once, so a key that has signed is not checked again. */
    if (key == e->trust->keys || (e->valid >> key & 1) != 0) continue;
    if (is_valid(e, &s, key)) e->valid |= (uint32_t)1 << key;
    return false;
  }
  const uint32_t valid = aiot_count_bits(e->valid);
  if (valid < e->trust->role[e->role].threshold) *code = too_few(e, valid, error);
  return true;
}

#include <inttypes.h>
#include <string.h>

#include "aiot/json.h"
#include "aiot/trust.h"
#include "names.h"

static int64_t read_root(aiot_json *json) {
  uint8_t digest[AIOT_SHA256_BYTES];
  int64_t version = 0;
  unsigned seen = 0;
  aiot_json_enter(json, '{');
  while (aiot_json_key(json)) {
    if (aiot_json_is(json, "version")) {
      version = aiot_read_integer(json, 1);
      seen |= 1;
    } else if (aiot_json_is(json, "digest")) {
      aiot_read_digest(json, digest);
      seen |= 2;
    } else {
      json->failed = true;
    }
  }
  if (seen != 3) json->failed = true;
  return version;
}

static void read_newest(aiot_json *json, int64_t newest[3]) {
  unsigned seen = 0;
  aiot_json_enter(json, '{');
  while (aiot_json_key(json)) {
    aiot_kind kind = AIOT_KIND_MODEL;
    while (kind <= AIOT_KIND_CONFIG && !aiot_json_is(json, aiot_kind_name(kind))) kind++;
    if (kind > AIOT_KIND_CONFIG) {
      json->failed = true;
      return;
    }
    newest[kind] = aiot_read_integer(json, 0);
    seen |= 1u << kind;
  }
  if (seen != 7) json->failed = true;
}

/* Whether the next string is this name. A text longer than any name never matches. */
static bool is_name(aiot_json *json, const char *name) {
  char text[AIOT_ID_BYTES] = "";
  aiot_json ahead = *json;
  const bool same = aiot_json_string(&ahead, text, sizeof text) > 0 && name != NULL && strcmp(text, name) == 0;
  aiot_skip_string(json);
  return same;
}

/* Reads a release. If there are several entries with the name, the first one is used, as in the TypeScript implementation. */
static void read_release(aiot_json *json, aiot_timestamp *t, aiot_kind kind, const char *name) {
  uint8_t digest[AIOT_SHA256_BYTES] = {0};
  aiot_kind of = AIOT_KIND_MODEL;
  int64_t sequence = 0;
  bool named = false;
  unsigned seen = 0;
  aiot_json_enter(json, '{');
  while (aiot_json_key(json)) {
    if (aiot_json_is(json, "kind")) {
      aiot_read_kind(json, &of);
      seen |= 1;
    } else if (aiot_json_is(json, "name")) {
      named = is_name(json, name);
      seen |= 2;
    } else if (aiot_json_is(json, "sequence")) {
      sequence = aiot_read_integer(json, 0);
      seen |= 4;
    } else if (aiot_json_is(json, "digest")) {
      aiot_read_digest(json, digest);
      seen |= 8;
    } else {
      json->failed = true;
    }
  }
  if (seen != 15) json->failed = true;
  if (json->failed || !named || of != kind || t->listed) return;
  t->listed = true;
  t->sequence = sequence;
  memcpy(t->digest, digest, sizeof digest);
}

aiot_code aiot_timestamp_read(aiot_timestamp *t, const aiot_envelope *envelope, aiot_kind kind, const char *name, aiot_error *error) {
  unsigned seen = 0;
  aiot_json json;
  *t = (aiot_timestamp){0};
  aiot_json_begin(&json, envelope->payload, envelope->payload_bytes);
  aiot_json_enter(&json, '{');
  while (aiot_json_key(&json)) {
    if (aiot_json_is(&json, "spec")) {
      aiot_expect_string(&json, "aiot-timestamp/1");
      seen |= 1;
    } else if (aiot_json_is(&json, "version")) {
      t->version = aiot_read_integer(&json, 1);
      seen |= 2;
    } else if (aiot_json_is(&json, "issued")) {
      t->issued = aiot_json_integer(&json);
      seen |= 4;
    } else if (aiot_json_is(&json, "expires")) {
      t->expires = aiot_json_integer(&json);
      seen |= 8;
    } else if (aiot_json_is(&json, "root")) {
      t->root = read_root(&json);
      seen |= 16;
    } else if (aiot_json_is(&json, "newest")) {
      read_newest(&json, t->newest);
      seen |= 32;
    } else if (aiot_json_is(&json, "releases")) {
      t->listed = false;
      aiot_json_enter(&json, '[');
      while (aiot_json_element(&json)) read_release(&json, t, kind, name);
      seen |= 64;
    } else {
      json.failed = true;
    }
  }
  if (aiot_json_done(&json) && seen == 127) return AIOT_OK;
  aiot_error_set(error, AIOT_MANIFEST_MALFORMED, "the timestamp is malformed");
  return AIOT_MANIFEST_MALFORMED;
}

aiot_code aiot_timestamp_judge(const aiot_timestamp *t, const aiot_manifest *m, bool listed, const uint8_t payload[AIOT_SHA256_BYTES],
                               aiot_error *error) {
  if (m->sequence > t->newest[m->kind]) {
    aiot_error_set(error, AIOT_UPDATE_UNPUBLISHED, "expected a %s of sequence %" PRId64 " at most, got %" PRId64, aiot_kind_name(m->kind),
                   t->newest[m->kind], m->sequence);
    return AIOT_UPDATE_UNPUBLISHED;
  }
  if (!listed || !t->listed || m->sequence < t->sequence) return AIOT_OK;
  if (m->sequence == t->sequence && memcmp(t->digest, payload, AIOT_SHA256_BYTES) == 0) return AIOT_OK;
  if (m->sequence > t->sequence)
    aiot_error_set(error, AIOT_UPDATE_UNPUBLISHED, "expected %s of sequence %" PRId64 " at most, got %" PRId64, m->name, t->sequence, m->sequence);
  else
    aiot_error_set(error, AIOT_UPDATE_UNPUBLISHED, "expected another manifest as sequence %" PRId64 " of %s", m->sequence, m->name);
  return AIOT_UPDATE_UNPUBLISHED;
}

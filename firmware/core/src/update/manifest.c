#include <string.h>

#include "aiot/json.h"
#include "aiot/manifest.h"
#include "names.h"

/* Reads an array of strings and counts them; returns whether one of them is `wanted`. */
static bool read_strings(aiot_json *json, const char *wanted, size_t *count) {
  bool found = false;
  *count = 0;
  aiot_json_enter(json, '[');
  for (; aiot_json_element(json); ++*count) {
    /* A text longer than a name cannot be the device's type. */
    char text[AIOT_ID_BYTES] = "";
    aiot_json ahead = *json;
    if (aiot_json_string(&ahead, text, sizeof text) > 0 && wanted != NULL && strcmp(text, wanted) == 0) found = true;
    aiot_skip_string(json);
  }
  return found;
}

/* Reads an artifact or a file. `sum` is the name of its digest, which is 64 digits if the name is `sha256`. */
static void read_file(aiot_json *json, const char *sum, uint8_t digest[AIOT_SHA256_BYTES], int64_t *bytes) {
  unsigned seen = 0;
  aiot_json_enter(json, '{');
  while (aiot_json_key(json)) {
    if (aiot_json_is(json, "name")) {
      aiot_skip_string(json);
      seen |= 1;
    } else if (aiot_json_is(json, sum)) {
      if (digest == NULL) aiot_read_sum(json);
      else aiot_read_digest(json, digest);
      seen |= 2;
    } else if (aiot_json_is(json, "bytes")) {
      *bytes = aiot_read_integer(json, 0);
      seen |= 4;
    } else {
      json->failed = true;
    }
  }
  if (seen != 7) json->failed = true;
}

static void read_artifacts(aiot_json *json, aiot_manifest *m) {
  m->artifacts = 0;
  aiot_json_enter(json, '[');
  while (aiot_json_element(json)) {
    uint8_t digest[AIOT_SHA256_BYTES] = {0};
    int64_t bytes = 0;
    read_file(json, "digest", digest, &bytes);
    if (m->artifacts++ > 0) continue;
    memcpy(m->digest, digest, sizeof digest);
    m->bytes = bytes;
  }
  if (m->artifacts == 0) json->failed = true;
}

static void read_files(aiot_json *json) {
  int64_t bytes = 0;
  aiot_json_enter(json, '[');
  while (aiot_json_element(json)) read_file(json, "sha256", NULL, &bytes);
}

static void read_quantization(aiot_json *json, aiot_manifest *m) {
  static const char *const modes[] = {"float32", "float16", "dynamic", "int8", "int16x8", "mixed"};
  char mode[16] = "";
  unsigned seen = 0;
  m->mode = 0;
  aiot_json_enter(json, '{');
  while (aiot_json_key(json)) {
    if (aiot_json_is(json, "mode")) {
      aiot_json_string(json, mode, sizeof mode);
      seen |= 1;
    } else if (aiot_json_is(json, "input") || aiot_json_is(json, "output")) {
      seen |= aiot_json_is(json, "input") ? 2 : 4;
      aiot_skip_string(json);
    } else {
      json->failed = true;
    }
  }
  for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++)
    if (strcmp(mode, modes[i]) == 0) m->mode = (uint32_t)1 << i;
  if (seen != 7 || m->mode == 0) json->failed = true;
}

static void skip_object_or_null(aiot_json *json) {
  if (!aiot_json_null(json)) aiot_skip_object(json);
}

static void read_digest_or_null(aiot_json *json) {
  uint8_t digest[AIOT_SHA256_BYTES];
  if (!aiot_json_null(json)) aiot_read_digest(json, digest);
}

static void read_dataset(aiot_json *json) {
  uint8_t digest[AIOT_SHA256_BYTES];
  unsigned seen = 0;
  if (aiot_json_null(json)) return;
  aiot_json_enter(json, '{');
  while (aiot_json_key(json)) {
    if (aiot_json_is(json, "name")) {
      aiot_skip_string(json);
      seen |= 1;
    } else if (aiot_json_is(json, "digest")) {
      aiot_read_digest(json, digest);
      seen |= 2;
    } else {
      json->failed = true;
    }
  }
  if (seen != 3) json->failed = true;
}

/* Reads the model in a manifest, in the format of src/lib/formats/manifest/manifest.ts. Only its kind and its mode are used. */
static void read_model(aiot_json *json, aiot_manifest *m) {
  static const char *const members[] = {"kind",  "signal",     "labels",  "answer", "quantization", "metrics",
                                        "gates", "evaluation", "dataset", "config", "tools",        "created"};
  enum { KIND, SIGNAL, LABELS, ANSWER, QUANTIZATION, METRICS, GATES, EVALUATION, DATASET, CONFIG, TOOLS, CREATED, MEMBERS };
  unsigned seen = 0;
  aiot_json_enter(json, '{');
  while (aiot_json_key(json)) {
    char kind[16] = "";
    size_t count = 0;
    unsigned member = 0;
    while (member < MEMBERS && !aiot_json_is(json, members[member])) member++;
    seen |= 1u << member;
    switch (member) {
      case KIND:
        aiot_json_string(json, kind, sizeof kind);
        m->network = strcmp(kind, "network") == 0;
        if (!m->network && strcmp(kind, "model") != 0) json->failed = true;
        break;
      case SIGNAL:
      case ANSWER:
      case METRICS:
        skip_object_or_null(json);
        break;
      case LABELS:
        aiot_json_enter(json, '{');
        while (aiot_json_key(json)) read_strings(json, NULL, &count);
        break;
      case QUANTIZATION:
        read_quantization(json, m);
        break;
      case GATES:
        aiot_json_enter(json, '[');
        while (aiot_json_element(json)) aiot_skip_object(json);
        break;
      case EVALUATION:
      case CONFIG:
        read_digest_or_null(json);
        break;
      case DATASET:
        read_dataset(json);
        break;
      case TOOLS:
        aiot_json_enter(json, '{');
        while (aiot_json_key(json)) aiot_skip_string(json);
        break;
      case CREATED:
        if (!aiot_json_null(json)) aiot_json_integer(json);
        break;
      default:
        json->failed = true;
    }
  }
  if (seen != (1u << MEMBERS) - 1) json->failed = true;
}

static void read_member(aiot_json *json, aiot_manifest *m, const char *type, unsigned *seen) {
  static const char *const members[] = {"spec",      "role",   "kind",    "name",        "version",   "sequence",
                                        "floor",     "issued", "expires", "deviceTypes", "artifacts", "interface",
                                        "model",     "files",  "secureVersion"};
  enum { SPEC, ROLE, KIND, NAME, VERSION, SEQUENCE, FLOOR, ISSUED, EXPIRES, TYPES, ARTIFACTS, INTERFACE, MODEL, FILES, SECURE, MEMBERS };
  size_t count = 0;
  unsigned member = 0;
  while (member < MEMBERS && !aiot_json_is(json, members[member])) member++;
  *seen |= 1u << member;
  switch (member) {
    case SPEC:
      aiot_expect_string(json, "aiot-manifest/1");
      return;
    case ROLE:
      aiot_expect_string(json, "release");
      return;
    case KIND:
      aiot_read_kind(json, &m->kind);
      return;
    case NAME:
      aiot_read_name(json, m->name, sizeof m->name);
      return;
    case VERSION:
      m->version = aiot_read_integer(json, 1);
      return;
    case SEQUENCE:
      m->sequence = aiot_read_integer(json, 1);
      return;
    case FLOOR:
      m->floor = aiot_read_integer(json, 0);
      return;
    case ISSUED:
      m->issued = aiot_json_integer(json);
      return;
    case EXPIRES:
      m->has_expires = !aiot_json_null(json);
      m->expires = m->has_expires ? aiot_json_integer(json) : 0;
      return;
    case TYPES:
      m->for_type = read_strings(json, type, &count);
      if (count == 0) json->failed = true;
      return;
    case ARTIFACTS:
      read_artifacts(json, m);
      return;
    case INTERFACE:
      m->interface = aiot_read_integer(json, 1);
      return;
    case MODEL:
      read_model(json, m);
      return;
    case FILES:
      read_files(json);
      return;
    case SECURE:
      m->secure_version = aiot_read_integer(json, 0);
      return;
    default:
      json->failed = true;
  }
}

aiot_code aiot_manifest_read(aiot_manifest *manifest, const aiot_envelope *envelope, const char *type, aiot_error *error) {
  /* All members except interface, model, files and secureVersion are required. */
  const unsigned needed = (1u << 11) - 1;
  unsigned seen = 0;
  aiot_json json;
  *manifest = (aiot_manifest){.interface = 1};
  aiot_json_begin(&json, envelope->payload, envelope->payload_bytes);
  aiot_json_enter(&json, '{');
  while (aiot_json_key(&json)) read_member(&json, manifest, type, &seen);
  if (aiot_json_done(&json) && (seen & needed) == needed) return AIOT_OK;
  aiot_error_set(error, AIOT_MANIFEST_MALFORMED, "the manifest is malformed");
  return AIOT_MANIFEST_MALFORMED;
}

static void read_delta(aiot_json *json, aiot_desired *desired) {
  unsigned seen = 0;
  desired->has_delta = true;
  aiot_json_enter(json, '{');
  while (aiot_json_key(json)) {
    if (aiot_json_is(json, "base")) {
      aiot_read_digest(json, desired->delta_base);
      seen |= 1;
    } else if (aiot_json_is(json, "digest")) {
      aiot_read_digest(json, desired->delta_digest);
      seen |= 2;
    } else if (aiot_json_is(json, "bytes")) {
      desired->delta_bytes = aiot_read_integer(json, 1);
      seen |= 4;
    } else {
      aiot_json_skip(json);
    }
  }
  if (seen != 7) json->failed = true;
}

aiot_code aiot_desired_read(aiot_desired *desired, const void *text, size_t bytes) {
  unsigned seen = 0;
  aiot_json json;
  memset(desired, 0, sizeof *desired);
  aiot_json_begin(&json, text, bytes);
  aiot_json_enter(&json, '{');
  while (aiot_json_key(&json)) {
    if (aiot_json_is(&json, "rollout")) {
      aiot_json_string(&json, desired->rollout, sizeof desired->rollout);
      seen |= 1;
    } else if (aiot_json_is(&json, "kind")) {
      aiot_read_kind(&json, &desired->kind);
      seen |= 2;
    } else if (aiot_json_is(&json, "name")) {
      aiot_read_name(&json, desired->name, sizeof desired->name);
      seen |= 4;
    } else if (aiot_json_is(&json, "version")) {
      desired->version = aiot_read_integer(&json, 1);
      seen |= 8;
    } else if (aiot_json_is(&json, "sequence")) {
      desired->sequence = aiot_read_integer(&json, 1);
      seen |= 16;
    } else if (aiot_json_is(&json, "manifest")) {
      aiot_json_string(&json, desired->manifest, sizeof desired->manifest);
      seen |= 32;
    } else if (aiot_json_is(&json, "delta")) {
      read_delta(&json, desired);
    } else if (aiot_json_is(&json, "soakMs")) {
      desired->soak_ms = aiot_read_integer(&json, 1);
    } else {
      aiot_json_skip(&json);
    }
  }
  return aiot_json_done(&json) && seen == 63 && desired->manifest[0] == '/' ? AIOT_OK : AIOT_MESSAGE_MALFORMED;
}

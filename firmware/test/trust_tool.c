/*
 * The firmware's part of a TypeScript test. Each line (JSON) on standard input is a case. The output line contains the result
 * code of checking the roots and the timestamp, then the root's version, the epoch, and the stored timestamp's version and time.
 *   {"trust": …, "root": "envelope" or null, "roots": ["envelope", …], "timestamp": "envelope" or null, "now": …,
 *    "asked": {"kind": …, "name": …, "sequence": …, "digest": …}}
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aiot/json.h"
#include "aiot/trust.h"
#include "crypto_openssl.h"

enum { LINE_BYTES = 600000, TEXT_BYTES = 200000, ROOTS = 4 };

typedef struct {
  aiot_trust first;
  aiot_code code;
  /* For root `first` + 1 and the following ones; NULL = none. */
  char *roots[ROOTS];
  char *timestamp;
  int64_t now;
  aiot_kind kind;
  aiot_manifest asked;
  uint8_t digest[AIOT_SHA256_BYTES];
  /* The document that is being read. */
  const char *open;
  size_t at;
} bench;

static char line_memory[AIOT_ENVELOPE_BYTES];

static uint64_t uptime_ms(void *context) {
  (void)context;
  return 0;
}

static int64_t now_ms(void *context) { return ((bench *)context)->now; }

static bool http_open(void *context, const char *path, uint64_t from) {
  bench *b = context;
  const int64_t place = atoll(path + strlen("/api/v1/trust/root/")) - b->first.version - 1;
  (void)from;
  b->at = 0;
  b->open = strcmp(path, "/api/v1/trust/timestamp") == 0 ? b->timestamp : place < ROOTS ? b->roots[place] : NULL;
  return true;
}

static int32_t http_read(void *context, void *out, size_t bytes) {
  bench *b = context;
  if (b->open == NULL) return AIOT_HTTP_MISSING;
  const size_t left = strlen(b->open) - b->at, part = left < bytes ? left : bytes;
  if (left == 0) return AIOT_HTTP_END;
  memcpy(out, b->open + b->at, part);
  b->at += part;
  return (int32_t)part;
}

static void http_close(void *context) { ((bench *)context)->open = NULL; }

/* Returns a copy of exactly the text's bytes, so that reading beyond them is detected; NULL if the value is null. */
static char *read_text(aiot_json *json) {
  if (aiot_json_null(json)) return NULL;
  char *text = malloc(TEXT_BYTES);
  if (text == NULL) exit(2);
  const size_t bytes = aiot_json_string(json, text, TEXT_BYTES);
  char *copy = realloc(text, bytes + 1);
  if (copy == NULL || json->failed) exit(3);
  return copy;
}

static void read_digest(aiot_json *json, uint8_t digest[AIOT_SHA256_BYTES]) {
  char text[72];
  aiot_json_string(json, text, sizeof text);
  for (size_t i = 0; i < AIOT_SHA256_BYTES; i++) {
    unsigned byte = 0;
    if (sscanf(text + 7 + 2 * i, "%2x", &byte) != 1) exit(3);
    digest[i] = (uint8_t)byte;
  }
}

static void read_asked(aiot_json *json, bench *b) {
  char kind[16] = "";
  aiot_json_enter(json, '{');
  while (aiot_json_key(json)) {
    if (aiot_json_is(json, "kind")) aiot_json_string(json, kind, sizeof kind);
    else if (aiot_json_is(json, "name")) aiot_json_string(json, b->asked.name, sizeof b->asked.name);
    else if (aiot_json_is(json, "sequence")) b->asked.sequence = aiot_json_integer(json);
    else read_digest(json, b->digest);
  }
  for (aiot_kind k = AIOT_KIND_MODEL; k <= AIOT_KIND_CONFIG; k++)
    if (strcmp(kind, aiot_kind_name(k)) == 0) b->asked.kind = k;
}

static void read_case(bench *b, const char *line, size_t bytes) {
  aiot_json json;
  size_t count = 0, part_bytes = 0;
  memset(b, 0, sizeof *b);
  aiot_json_begin(&json, line, bytes);
  aiot_json_enter(&json, '{');
  while (aiot_json_key(&json)) {
    if (aiot_json_is(&json, "trust")) {
      const char *part = aiot_json_value(&json, &part_bytes);
      b->code = aiot_trust_read(&b->first, part, part_bytes, &aiot_crypto_openssl);
    } else if (aiot_json_is(&json, "root")) {
      char *root = read_text(&json);
      if (root != NULL) b->code = aiot_root_open(&b->first, root, strlen(root), &aiot_crypto_openssl);
      free(root);
    } else if (aiot_json_is(&json, "roots")) {
      aiot_json_enter(&json, '[');
      while (aiot_json_element(&json) && count < ROOTS) b->roots[count++] = read_text(&json);
    } else if (aiot_json_is(&json, "timestamp")) {
      b->timestamp = read_text(&json);
    } else if (aiot_json_is(&json, "now")) {
      b->now = aiot_json_integer(&json);
    } else if (aiot_json_is(&json, "asked")) {
      read_asked(&json, b);
    } else {
      exit(3);
    }
  }
  if (!aiot_json_done(&json)) exit(3);
}

static void judge(bench *b) {
  const aiot_clock clock = {b, uptime_ms, now_ms, NULL};
  const aiot_http http = {b, http_open, http_read, http_close};
  aiot_line line = {.http = &http, .memory = line_memory, .bytes = sizeof line_memory};
  const aiot_keeper_setup setup = {.first = &b->first, .crypto = &aiot_crypto_openssl, .clock = &clock, .line = &line};
  static aiot_keeper keeper;
  aiot_error error = {{0}, {0}};
  aiot_look look = AIOT_LOOK_WORKS;
  if (b->code != AIOT_OK) {
    printf("%s\n", aiot_code_name(b->code));
    return;
  }
  if (aiot_keeper_open(&keeper, &setup) != AIOT_OK) exit(4);
  aiot_keeper_begin(&keeper, b->asked.kind, b->asked.name);
  while (look == AIOT_LOOK_WORKS || look == AIOT_LOOK_WAITS) look = aiot_keeper_step(&keeper, &error);
  b->code = look == AIOT_LOOK_DONE ? AIOT_OK : aiot_code_named(error.code);
  if (b->code == AIOT_OK && keeper.has_timestamp) b->code = aiot_timestamp_judge(&keeper.timestamp, &b->asked, true, b->digest, &error);
  printf("%s %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 "\n", aiot_code_name(b->code), keeper.held.version, keeper.kept.epoch,
         keeper.kept.stamp_version, keeper.kept.stamp_issued);
}

int main(void) {
  static char line[LINE_BYTES];
  static bench b;
  while (fgets(line, sizeof line, stdin) != NULL) {
    read_case(&b, line, strlen(line));
    judge(&b);
    for (size_t i = 0; i < ROOTS; i++) free(b.roots[i]);
    free(b.timestamp);
  }
  return 0;
}

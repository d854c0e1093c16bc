/*
 * Tests that bundles that are changed, truncated, or opened with too little memory are rejected and never read beyond their end.
 */
#include "aiot/bundle.h"

#include <stdlib.h>
#include <string.h>

#include "check.h"

enum { BLOCK = 512, MEMORY = 65536 };

static uint8_t memory[MEMORY];

/* Opens a copy of exactly these bytes, so that reading beyond them is detected. */
static aiot_code open_copy(const uint8_t *data, size_t bytes, size_t room, size_t *used) {
  uint8_t *copy = malloc(bytes > 0 ? bytes : 1);
  if (copy == NULL) exit(2);
  memcpy(copy, data, bytes);
  aiot_bundle bundle;
  aiot_arena arena;
  aiot_arena_init(&arena, memory, room);
  const aiot_code code = aiot_bundle_open(&bundle, copy, bytes, &arena);
  *used = arena.used;
  free(copy);
  return code;
}

typedef struct {
  const char *own, *changed;
} text_change;

/* Each change of bundle.json makes the bundle inconsistent. */
static void test_changes(checks *c, uint8_t *data, size_t bytes, const text_change *change, size_t changes) {
  size_t used;
  for (size_t i = 0; i < changes; i++) {
    const size_t length = strlen(change[i].own);
    size_t at = BLOCK;
    while (at + length < bytes && memcmp(data + at, change[i].own, length) != 0) at++;
    if (!check_at(c, "changes", "text found", i, at + length < bytes)) continue;
    memcpy(data + at, change[i].changed, length);
    check_equal(c, change[i].changed, i, AIOT_BUNDLE_MALFORMED, open_copy(data, bytes, MEMORY, &used));
    memcpy(data + at, change[i].own, length);
  }
}

/* If a model finds objects, they depend on its grid, its picture and its threshold. */
static void test_objects(checks *c, uint8_t *data, size_t bytes) {
  static const text_change change[] = {
      {"\"grid\":[2,3]", "\"grid\":[3,2]"},         {"\"grid\":[2,3]", "\"grid\":[2,0]"},
      {"\"grid\":[2,3]", "\"grid\":[203]"},         {"\"picture\":{\"height\":9", "\"picture\":{\"height\":8"},
      {"\"picture\":{\"height\":9", "\"picture\":{\"heighs\":9"}, {"\"threshold\":0.35", "\"threshold\":-0.3"},
      {"\"threshold\":0.35", "\"threshold\":1.35"}, {"\"fit\":\"crop\"", "\"fit\":\"drop\""},
      {"\"windowSamples\":153", "\"windowSamples\":152"},
  };
  test_changes(c, data, bytes, change, sizeof change / sizeof *change);
}

/* A reader that does not know the state of a stream misses the coefficients. */
static void test_streams(checks *c, uint8_t *data, size_t bytes) {
  static const text_change change[] = {
      {"\"state\":\"stream\"", "\"stale\":\"stream\""},
      {"\"state\":\"stream\"", "\"state\":\"strewn\""},
  };
  test_changes(c, data, bytes, change, sizeof change / sizeof *change);
}

int main(int count, char **arguments) {
  static uint8_t data[400000];
  checks c = {0};
  FILE *file = count == 2 ? fopen(arguments[1], "rb") : NULL;
  if (file == NULL) return 2;
  const size_t bytes = fread(data, 1, sizeof data, file);
  fclose(file);
  size_t used = 0, needed = 0;
  check_equal(&c, "a valid bundle", 0, AIOT_OK, open_copy(data, bytes, MEMORY, &needed));

  for (size_t cut = 0; cut < bytes; cut += cut < 2048 ? 61 : 509)
    check_equal(&c, "truncated", cut, AIOT_BUNDLE_MALFORMED, open_copy(data, cut, MEMORY, &used));
  for (size_t room = 0; room < needed; room += 13) {
    check_equal(&c, "short memory", room, AIOT_MEMORY_SHORT, open_copy(data, bytes, room, &used));
    check_equal(&c, "memory use after a rejection", room, 0, (int64_t)used);
  }
  /* The header of the first member has a checksum. The two bytes after the checksum's digits have no meaning. */
  for (size_t i = 0; i < BLOCK; i++) {
    if (i == 154 || i == 155) continue;
    data[i] ^= (uint8_t)(1 << i % 8);
    check_equal(&c, "a changed header", i, AIOT_BUNDLE_MALFORMED, open_copy(data, bytes, MEMORY, &used));
    data[i] ^= (uint8_t)(1 << i % 8);
  }
  /* bundle.json with any content is either read or rejected. */
  size_t refused = 0;
  for (size_t i = BLOCK; i < BLOCK + 3000; i++) {
    data[i] ^= (uint8_t)(1 << i % 7);
    const aiot_code code = open_copy(data, bytes, MEMORY, &used);
    const bool known = code == AIOT_OK || code == AIOT_BUNDLE_MALFORMED || code == AIOT_MODEL_UNSUPPORTED || code == AIOT_MEMORY_SHORT;
    check_at(&c, "a changed bundle.json", "byte", i, known);
    refused += code != AIOT_OK;
    data[i] ^= (uint8_t)(1 << i % 7);
  }
  check_at(&c, "some changes are rejected", "count", refused, refused > 300);
  if (strstr(arguments[1], "parts") != NULL) test_objects(&c, data, bytes);
  if (strstr(arguments[1], "wake-stream") != NULL) test_streams(&c, data, bytes);
  data[bytes - 1] = 1;
  check_equal(&c, "data after the end", 0, AIOT_BUNDLE_MALFORMED, open_copy(data, bytes, MEMORY, &used));
  return checks_end(&c);
}

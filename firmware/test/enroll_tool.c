/*
 * Enrolls a device whose platform is the program at the other end of its standard input and output:
 *
 *   enroll_tool SERIAL MAC CHIP   with the batch's key as the first line
 *
 * It prints `post PATH BODY` for each request, and reads `STATUS SECONDS BODY` (Retry-After) or `broken`. It prints `news …`, and at the end
 * each setting as `set NAMESPACE KEY TYPE HEX`. Its time passes only in pauses, so no pause takes long.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto_openssl.h"
#include "enroll_keys.h"

enum { ENTRIES = 64, VALUE = 4096, LINE = 200000, MEMORY = 40 * 1024 };

typedef struct {
  char space[16], key[16];
  const char *type;
  uint8_t value[VALUE];
  size_t bytes;
} entry;

static entry entries[ENTRIES];
static size_t count;
static char line[LINE];
static const char *body;
static int status;
static uint32_t seconds;

static entry *find(const char *space, const char *key) {
  for (size_t i = 0; i < count; i++)
    if (strcmp(entries[i].space, space) == 0 && strcmp(entries[i].key, key) == 0) return &entries[i];
  return NULL;
}

static bool put(const char *space, const char *key, const char *type, const void *value, size_t bytes) {
  entry *at = find(space, key);
  if (at == NULL && count == ENTRIES) return false;
  if (at == NULL) at = &entries[count++];
  if (bytes > VALUE || strlen(key) > 15) return false;
  snprintf(at->space, sizeof at->space, "%s", space);
  snprintf(at->key, sizeof at->key, "%s", key);
  at->type = type;
  memcpy(at->value, value, bytes);
  at->bytes = bytes;
  return true;
}

static int32_t text(void *context, const char *space, const char *key, char *out, size_t room) {
  (void)context;
  const entry *at = find(space, key);
  if (at == NULL) return AIOT_SETTING_ABSENT;
  if (at->bytes >= room) return AIOT_SETTING_FAILED;
  memcpy(out, at->value, at->bytes);
  out[at->bytes] = '\0';
  return (int32_t)at->bytes;
}

static bool put_text(void *context, const char *space, const char *key, const char *value) {
  (void)context;
  return put(space, key, "string", value, strlen(value));
}

static bool put_number(void *context, const char *space, const char *key, int bits, uint64_t value) {
  (void)context;
  return put(space, key, bits == 8 ? "u8" : bits == 32 ? "u32" : "u64", &value, (size_t)bits / 8);
}

static bool put_blob(void *context, const char *space, const char *key, const void *value, size_t bytes) {
  (void)context;
  return put(space, key, "blob", value, bytes);
}

static bool erase(void *context, const char *space) {
  (void)context;
  size_t left = 0;
  for (size_t i = 0; i < count; i++)
    if (strcmp(entries[i].space, space) != 0) entries[left++] = entries[i];
  count = left;
  return true;
}

static bool post(void *context, const char *path, const char *request, size_t bytes) {
  (void)context;
  printf("post %s %.*s\n", path, (int)bytes, request);
  fflush(stdout);
  if (fgets(line, sizeof line, stdin) == NULL) exit(1);
  line[strcspn(line, "\n")] = '\0';
  int at = 0;
  if (sscanf(line, "%d %" SCNu32 " %n", &status, &seconds, &at) < 2) return false;
  body = line + at;
  return true;
}

static int32_t read_body(void *context, void *out, size_t bytes) {
  (void)context;
  const size_t left = strlen(body), some = left < bytes ? left : bytes;
  if (left == 0) return AIOT_HTTP_END;
  memcpy(out, body, some);
  body += some;
  return (int32_t)some;
}

static int status_of(void *context) {
  (void)context;
  return status;
}

static uint32_t retry_after_s(void *context) {
  (void)context;
  return seconds;
}

static void close_request(void *context) { (void)context; }

static void on_news(void *context, aiot_enroll_news news, const char *reason, uint32_t pause_ms) {
  (void)context;
  static const char *const names[] = {"waits", "stored", "refused", "limited", "unreachable", "malformed", "unstored"};
  printf("news %s %" PRIu32 " %s\n", names[news], pause_ms, reason);
}

int main(int argc, char **argv) {
  static const aiot_settings settings = {NULL, text, put_text, put_number, put_blob, erase};
  static const aiot_post port = {NULL, post, read_body, status_of, retry_after_s, close_request};
  static aiot_enroll enroll;
  if (argc != 4 || fgets(line, sizeof line, stdin) == NULL) return 2;
  line[strcspn(line, "\n")] = '\0';
  put("aiot_batch", "key", "string", line, strlen(line));
  void *memory = malloc(MEMORY);
  const aiot_enroll_setup setup = {.settings = &settings, .keys = &enroll_keys, .crypto = &aiot_crypto_openssl, .post = &port, .serial = argv[1],
                                   .mac = argv[2], .chip = argv[3], .memory = memory, .bytes = MEMORY, .news = on_news};
  aiot_enroll_state state = aiot_enroll_open(&enroll, &setup, 0);
  for (uint64_t now_ms = 0; state == AIOT_ENROLL_RUNS; now_ms += 1000) state = aiot_enroll_step(&enroll, now_ms, true);
  free(memory);
  if (state != AIOT_ENROLL_DONE) return 1;
  for (size_t i = 0; i < count; i++) {
    printf("set %s %s %s ", entries[i].space, entries[i].key, entries[i].type);
    for (size_t n = 0; n < entries[i].bytes; n++) printf("%02x", entries[i].value[n]);
    printf("\n");
  }
  return 0;
}

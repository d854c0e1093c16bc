/*
 * The firmware's part of TypeScript tests, which compare its output with the expected results:
 *   update_tool config        one document per line on standard input, one code per line on standard output
 *   update_tool judge         one case per line (JSON) on standard input, one code per line on standard output
 *   update_tool flash FILE    the content of a device's flash: its record, and the result of a boot; then it is changed, see below
 *   update_tool nvs FILE      `type namespace key` per line on standard input, the value per line on standard output
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aiot/config.h"
#include "aiot/json.h"
#include "aiot/nvs.h"
#include "aiot/update.h"
#include "crypto_openssl.h"
#include "sim_flash.h"

enum { LINE_BYTES = 400000 };

static void *need(void *memory) {
  if (memory == NULL) exit(2);
  return memory;
}

/* Reads the device's state in a case. */
static void read_standing(aiot_json *json, aiot_standing *s) {
  aiot_json_enter(json, '{');
  while (aiot_json_key(json)) {
    if (aiot_json_is(json, "floor")) s->floor = aiot_json_integer(json);
    else if (aiot_json_is(json, "sequence")) s->sequence = aiot_json_integer(json);
    else if (aiot_json_is(json, "newestSigned")) s->newest_signed = aiot_json_integer(json);
    else if (aiot_json_is(json, "slotBytes")) s->slot_bytes = aiot_json_integer(json);
    else if (aiot_json_is(json, "secureVersion")) s->secure_version = aiot_json_integer(json);
    else aiot_json_skip(json);
  }
}

/* {"trust": …, "envelope": "text", "desired": …, "standing": …, "now": …} -> the first failed check. */
static aiot_code judge(const char *line, size_t bytes, char *envelope_text) {
  aiot_trust trust = {0};
  aiot_desired desired;
  aiot_standing standing = {0};
  aiot_error error = {{0}, {0}};
  aiot_code code = AIOT_OK;
  size_t envelope_bytes = 0, part_bytes = 0;
  int64_t now = -1;
  aiot_json json;
  aiot_json_begin(&json, line, bytes);
  aiot_json_enter(&json, '{');
  while (aiot_json_key(&json)) {
    if (aiot_json_is(&json, "trust")) {
      const char *part = aiot_json_value(&json, &part_bytes);
      code = aiot_trust_read(&trust, part, part_bytes, &aiot_crypto_openssl);
    } else if (aiot_json_is(&json, "desired")) {
      const char *part = aiot_json_value(&json, &part_bytes);
      if (aiot_desired_read(&desired, part, part_bytes) != AIOT_OK) return AIOT_MESSAGE_MALFORMED;
    } else if (aiot_json_is(&json, "envelope")) {
      envelope_bytes = aiot_json_string(&json, envelope_text, LINE_BYTES);
    } else if (aiot_json_is(&json, "standing")) {
      read_standing(&json, &standing);
    } else if (aiot_json_is(&json, "now")) {
      if (!aiot_json_null(&json)) now = aiot_json_integer(&json);
    } else {
      aiot_json_skip(&json);
    }
  }
  if (!aiot_json_done(&json)) exit(3);
  if (code != AIOT_OK) return code;
  aiot_envelope envelope;
  aiot_manifest manifest;
  const aiot_traits traits = {"virtual", AIOT_INTERFACE_FORESTS, AIOT_MODE_INT8, 0};
  code = aiot_envelope_open(&envelope, envelope_text, envelope_bytes, "manifest", &aiot_crypto_openssl, &error);
  if (code != AIOT_OK) return code;
  aiot_envelope_signers(&envelope, &trust, AIOT_ROLE_TARGETS);
  while (!aiot_envelope_step(&envelope, &code, &error)) continue;
  if (code == AIOT_OK) code = aiot_manifest_read(&manifest, &envelope, traits.type, &error);
  if (code == AIOT_OK) code = aiot_manifest_judge(&manifest, &desired, &standing, &traits, now, &error);
  return code;
}

static int judge_all(void) {
  char *line = need(malloc(LINE_BYTES)), *envelope = need(malloc(LINE_BYTES));
  while (fgets(line, LINE_BYTES, stdin) != NULL) {
    /* Copies exactly the text's bytes, so that reading beyond them is detected. */
    const size_t bytes = strlen(line);
    char *copy = need(malloc(bytes));
    memcpy(copy, line, bytes);
    puts(aiot_code_name(judge(copy, bytes, envelope)));
    free(copy);
  }
  free(line);
  free(envelope);
  return 0;
}

static int read_configs(void) {
  char *line = need(malloc(LINE_BYTES));
  while (fgets(line, LINE_BYTES, stdin) != NULL) {
    aiot_config config;
    aiot_error error;
    const size_t bytes = strcspn(line, "\n");
    char *copy = need(malloc(bytes + 1));
    memcpy(copy, line, bytes);
    const aiot_code code = aiot_config_read(&config, copy, bytes, &error);
    /* A rejection must have an error; a success must not. */
    puts((code == AIOT_OK) == (error.code[0] == '\0') ? aiot_code_name(code) : "untold");
    free(copy);
  }
  free(line);
  return 0;
}

static uint8_t *read_file(const char *path, size_t *bytes) {
  FILE *file = fopen(path, "rb");
  if (file == NULL || fseek(file, 0, SEEK_END) != 0) exit(4);
  *bytes = (size_t)ftell(file);
  uint8_t *data = need(malloc(*bytes));
  rewind(file);
  if (fread(data, 1, *bytes, file) != *bytes) exit(4);
  fclose(file);
  return data;
}

/* The virtual device's files store each bit inverted, so that holes in them read as erased. */
static void copy_inverted(uint8_t *to, const uint8_t *from, size_t bytes) {
  for (size_t i = 0; i < bytes; i++) to[i] = (uint8_t)~from[i];
}

static void print_record(const aiot_record *record) {
  char text[AIOT_SECTOR_BYTES];
  printf("%.*s\n", (int)aiot_record_write(record, text, sizeof text), text);
}

/*
 * Prints the record and, for each slot, whether its bytes match their digest. Then writes a version of 5000 bytes (i * 3) to the inactive
 * slot, commits it as number `sequence` + 1, and saves the file.
 */
static int change_flash(const char *path) {
  static uint8_t scratch[AIOT_SECTOR_BYTES], blob[5000];
  size_t bytes;
  uint8_t *data = read_file(path, &bytes);
  sim_flash flash;
  aiot_store store;
  if (!sim_flash_open(&flash, (uint32_t)bytes, AIOT_SECTOR_BYTES)) return 2;
  copy_inverted(flash.memory, data, bytes);
  if (!aiot_store_open_flash(&store, &flash.port, &aiot_crypto_openssl, scratch)) return 5;
  aiot_record *r = &store.record;
  print_record(r);
  for (int slot = 0; slot < 2; slot++) {
    uint8_t digest[AIOT_SHA256_BYTES] = {0};
    if (r->slot[slot].present) aiot_store_digest(&store, slot, r->slot[slot].bytes, digest);
    puts(!r->slot[slot].present ? "none" : memcmp(digest, r->slot[slot].digest, sizeof digest) == 0 ? "whole" : "damaged");
  }
  const int slot = r->active == 0 ? 1 : 0;
  for (size_t i = 0; i < sizeof blob; i++) blob[i] = (uint8_t)(i * 3);
  for (uint32_t sector = 0; sector < 2; sector++) aiot_store_erase(&store, slot, sector);
  aiot_store_write(&store, slot, 0, blob, sizeof blob);
  r->active = (int8_t)slot;
  r->slot[slot] = (aiot_content){.present = true, .name = "of-the-firmware", .version = 7, .bytes = sizeof blob};
  r->slot[slot].sequence = ++r->sequence;
  aiot_store_digest(&store, slot, sizeof blob, r->slot[slot].digest);
  if (!aiot_store_persist(&store)) return 6;
  print_record(r);
  copy_inverted(data, flash.memory, bytes);
  FILE *file = fopen(path, "wb");
  if (file == NULL || fwrite(data, 1, bytes, file) != bytes || fclose(file) != 0) return 4;
  free(data);
  sim_flash_close(&flash);
  return 0;
}

static int read_nvs(const char *path) {
  static char out[600000];
  size_t bytes;
  uint8_t *data = read_file(path, &bytes);
  sim_flash flash;
  if (!sim_flash_open(&flash, (uint32_t)bytes, AIOT_SECTOR_BYTES)) return 2;
  memcpy(flash.memory, data, bytes);
  free(data);
  const aiot_nvs nvs = {&flash.port, 0, (uint32_t)bytes};
  char type[16], namespace_name[32], key[32];
  while (scanf("%15s %31s %31s", type, namespace_name, key) == 3) {
    int64_t integer = 0;
    size_t length = 0;
    if (strcmp(type, "integer") == 0) {
      if (aiot_nvs_integer(&nvs, namespace_name, key, &integer)) printf("%" PRId64 "\n", integer);
      else puts("none");
      continue;
    }
    const bool found = strcmp(type, "string") == 0 ? aiot_nvs_string(&nvs, namespace_name, key, out, sizeof out, &length)
                                                   : aiot_nvs_blob(&nvs, namespace_name, key, out, sizeof out, &length);
    if (!found) printf("none");
    else for (size_t i = 0; i < length; i++) printf("%02x", (unsigned)(uint8_t)out[i]);
    puts("");
  }
  sim_flash_close(&flash);
  return 0;
}

int main(int count, char **arguments) {
  if (count == 2 && strcmp(arguments[1], "judge") == 0) return judge_all();
  if (count == 2 && strcmp(arguments[1], "config") == 0) return read_configs();
  if (count == 3 && strcmp(arguments[1], "flash") == 0) return change_flash(arguments[2]);
  if (count == 3 && strcmp(arguments[1], "nvs") == 0) return read_nvs(arguments[2]);
  fprintf(stderr, "expected config, judge, flash FILE or nvs FILE\n");
  return 1;
}

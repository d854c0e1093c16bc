#include "names.h"

#include <string.h>

static int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool aiot_read_hex(const char *text, uint8_t out[AIOT_SHA256_BYTES]) {
  for (size_t i = 0; i < AIOT_SHA256_BYTES; i++) {
    const int high = hex_digit(text[2 * i]);
    const int low = high < 0 ? -1 : hex_digit(text[2 * i + 1]);
    if (low < 0) return false;
    out[i] = (uint8_t)(high << 4 | low);
  }
  return true;
}

void aiot_write_hex(const uint8_t digest[AIOT_SHA256_BYTES], char out[2 * AIOT_SHA256_BYTES + 1]) {
  static const char digits[] = "0123456789abcdef";
  for (size_t i = 0; i < AIOT_SHA256_BYTES; i++) {
    out[2 * i] = digits[digest[i] >> 4];
    out[2 * i + 1] = digits[digest[i] & 15];
  }
  out[2 * AIOT_SHA256_BYTES] = 0;
}

void aiot_read_digest(aiot_json *json, uint8_t out[AIOT_SHA256_BYTES]) {
  char text[72];
  const size_t bytes = aiot_json_string(json, text, sizeof text);
  if (bytes != 71 || memcmp(text, "sha256:", 7) != 0 || !aiot_read_hex(text + 7, out)) json->failed = true;
}

void aiot_read_sum(aiot_json *json) {
  char text[65];
  uint8_t sum[AIOT_SHA256_BYTES];
  if (aiot_json_string(json, text, sizeof text) != 64 || !aiot_read_hex(text, sum)) json->failed = true;
}

static bool is_letter_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

void aiot_read_name(aiot_json *json, char *out, size_t room) {
  const size_t bytes = aiot_json_string(json, out, room);
  bool good = bytes >= 1 && bytes <= 64 && is_letter_or_digit(out[0]) && is_letter_or_digit(out[bytes - 1]);
  for (size_t i = 0; good && i < bytes; i++)
    good = is_letter_or_digit(out[i]) || out[i] == '.' || out[i] == '_' || out[i] == '-';
  if (!good) json->failed = true;
}

int64_t aiot_read_integer(aiot_json *json, int64_t least) {
  const int64_t value = aiot_json_integer(json);
  if (value < least) json->failed = true;
  return value;
}

void aiot_skip_string(aiot_json *json) {
  if (aiot_json_peek(json) != '"') json->failed = true;
  aiot_json_skip(json);
}

void aiot_skip_object(aiot_json *json) {
  if (aiot_json_peek(json) != '{') json->failed = true;
  aiot_json_skip(json);
}

void aiot_read_kind(aiot_json *json, aiot_kind *kind) {
  char text[16];
  aiot_json_string(json, text, sizeof text);
  for (aiot_kind k = AIOT_KIND_MODEL; k <= AIOT_KIND_CONFIG; k++) {
    if (strcmp(text, aiot_kind_name(k)) != 0) continue;
    *kind = k;
    return;
  }
  json->failed = true;
}

void aiot_expect_string(aiot_json *json, const char *expected) {
  char text[24];
  aiot_json_string(json, text, sizeof text);
  if (strcmp(text, expected) != 0) json->failed = true;
}

const char *aiot_read_keyid(aiot_json *json, size_t *bytes) {
  aiot_json ahead = *json;
  const char *text = aiot_json_raw(&ahead, bytes);
  aiot_skip_string(json);
  return text;
}

uint32_t aiot_count_bits(uint32_t bits) {
  uint32_t count = 0;
  for (; bits != 0; bits &= bits - 1) count++;
  return count;
}

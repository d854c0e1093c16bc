#include "base64.h"

static int value_of(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static size_t padding(const char *text, size_t bytes) {
  if (bytes < 4 || text[bytes - 1] != '=') return 0;
  return text[bytes - 2] == '=' ? 2 : 1;
}

bool aiot_base64_formed(const char *text, size_t bytes) {
  if (bytes % 4 != 0) return false;
  const size_t digits = bytes - padding(text, bytes);
  for (size_t i = 0; i < digits; i++)
    if (value_of(text[i]) < 0) return false;
  return true;
}

size_t aiot_base64_bytes(const char *text, size_t bytes) { return bytes / 4 * 3 - padding(text, bytes); }

bool aiot_base64_decode(const char *text, size_t bytes, uint8_t *out) {
  if (!aiot_base64_formed(text, bytes)) return false;
  const size_t digits = bytes - padding(text, bytes);
  uint32_t bits = 0;
  unsigned held = 0;
  /* Decoding in place is safe, because every four characters yield at most three bytes. */
  for (size_t i = 0; i < digits; i++) {
    bits = bits << 6 | (uint32_t)value_of(text[i]);
    held += 6;
    if (held < 8) continue;
    held -= 8;
    *out++ = (uint8_t)(bits >> held);
    bits &= ((uint32_t)1 << held) - 1;
  }
  return bits == 0;
}

void aiot_base64_encode(const uint8_t *data, size_t bytes, char *out) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (size_t i = 0; i < bytes; i += 3) {
    const uint32_t second = i + 1 < bytes ? data[i + 1] : 0;
    const uint32_t third = i + 2 < bytes ? data[i + 2] : 0;
    const uint32_t bits = (uint32_t)data[i] << 16 | second << 8 | third;
    *out++ = digits[bits >> 18];
    *out++ = digits[bits >> 12 & 63];
    *out++ = i + 1 < bytes ? digits[bits >> 6 & 63] : '=';
    *out++ = i + 2 < bytes ? digits[bits & 63] : '=';
  }
  *out = '\0';
}

#include "json_text.h"

#include <stdint.h>
#include <string.h>

static int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/* Size of the escape sequence whose backslash is at `text`; 0 = invalid. */
static size_t escape_bytes(const char *text, size_t bytes) {
  if (bytes < 2) return 0;
  if (text[1] != 'u') return text[1] != 0 && strchr("\"\\/bfnrt", text[1]) != NULL ? 2 : 0;
  if (bytes < 6) return 0;
  for (size_t i = 2; i < 6; i++)
    if (hex_digit(text[i]) < 0) return 0;
  return 6;
}

/* Size of the UTF-8 character at `text`; 0 = invalid. */
static size_t utf8_bytes(const char *text, size_t bytes) {
  const uint8_t *b = (const uint8_t *)text;
  if (b[0] < 0x80) return 1;
  const size_t count = b[0] >= 0xc2 && b[0] < 0xe0 ? 2 : (b[0] & 0xf0) == 0xe0 ? 3 : b[0] >= 0xf0 && b[0] < 0xf5 ? 4 : 0;
  if (count == 0 || count > bytes) return 0;
  for (size_t i = 1; i < count; i++)
    if ((b[i] & 0xc0) != 0x80) return 0;
  if ((b[0] == 0xe0 && b[1] < 0xa0) || (b[0] == 0xed && b[1] >= 0xa0)) return 0;
  if ((b[0] == 0xf0 && b[1] < 0x90) || (b[0] == 0xf4 && b[1] >= 0x90)) return 0;
  return count;
}

bool aiot_json_string_end(const char *text, size_t bytes, size_t *used, bool *escaped) {
  *escaped = false;
  for (size_t at = 0; at < bytes;) {
    const uint8_t c = (uint8_t)text[at];
    if (c == '"') {
      *used = at;
      return true;
    }
    if (c < 0x20) return false;
    const size_t step = c == '\\' ? escape_bytes(text + at, bytes - at) : utf8_bytes(text + at, bytes - at);
    if (step == 0) return false;
    *escaped = *escaped || c == '\\';
    at += step;
  }
  return false;
}

static uint32_t unit_of(const char *hex) {
  uint32_t unit = 0;
  for (size_t i = 0; i < 4; i++) unit = unit << 4 | (uint32_t)hex_digit(hex[i]);
  return unit;
}

static size_t encode_utf8(uint32_t c, char out[4]) {
  if (c < 0x80) {
    out[0] = (char)c;
    return 1;
  }
  const size_t count = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
  for (size_t i = count - 1; i > 0; i--, c >>= 6) out[i] = (char)(0x80 | (c & 0x3f));
  out[0] = (char)((count == 2 ? 0xc0u : count == 3 ? 0xe0u : 0xf0u) | c);
  return count;
}

/* One character of a well-formed string in UTF-8: `used` bytes of the text, `count` bytes in `out`. */
static size_t decode_one(const char *text, size_t bytes, char out[4], size_t *used) {
  if (text[0] != '\\') {
    *used = utf8_bytes(text, bytes);
    memcpy(out, text, *used);
    return *used;
  }
  if (text[1] != 'u') {
    static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
    const char *special = strchr(from, text[1]);
    *used = 2;
    out[0] = special == NULL ? text[1] : to[special - from];
    return 1;
  }
  uint32_t c = unit_of(text + 2);
  *used = 6;
  if (c >= 0xd800 && c < 0xdc00 && bytes >= 12 && text[6] == '\\' && text[7] == 'u') {
    const uint32_t low = unit_of(text + 8);
    if (low >= 0xdc00 && low < 0xe000) {
      *used = 12;
      return encode_utf8(0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00), out);
    }
  }
  /* An unpaired surrogate is not a character; it is encoded as in JavaScript. */
  if (c >= 0xd800 && c < 0xe000) c = 0xfffd;
  return encode_utf8(c, out);
}

bool aiot_json_unescape(const char *text, size_t bytes, char *out, size_t room, size_t *written) {
  size_t to = 0;
  bool whole = room > 0;
  for (size_t at = 0, used = 0; whole && at < bytes; at += used) {
    char c[4];
    const size_t count = decode_one(text + at, bytes - at, c, &used);
    whole = c[0] != 0 && count < room - to;
    if (!whole) break;
    memcpy(out + to, c, count);
    to += count;
  }
  if (room > 0) out[to] = 0;
  *written = to;
  return whole;
}

bool aiot_json_text_is(const char *text, size_t bytes, const char *name) {
  for (size_t at = 0, used = 0; at < bytes; at += used) {
    char c[4];
    const size_t count = decode_one(text + at, bytes - at, c, &used);
    if (c[0] == 0 || strncmp(name, c, count) != 0) return false;
    name += count;
  }
  return *name == 0;
}

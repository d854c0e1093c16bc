#include "aiot/write.h"

#include <math.h>
#include <string.h>

void aiot_write_begin(aiot_writer *writer, void *out, size_t room, aiot_encoding encoding) {
  *writer = (aiot_writer){.out = out, .room = room, .encoding = encoding};
}

static void put(aiot_writer *writer, const void *data, size_t bytes) {
  if (writer->failed || bytes > writer->room - writer->used) {
    writer->failed = true;
    return;
  }
  memcpy(writer->out + writer->used, data, bytes);
  writer->used += bytes;
}

static void put_byte(aiot_writer *writer, uint8_t byte) { put(writer, &byte, 1); }

static bool is_cbor(const aiot_writer *writer) { return writer->encoding == AIOT_ENCODING_CBOR; }

/* Writes the comma before a value that follows another one. */
static void separate(aiot_writer *writer) {
  if (!is_cbor(writer) && writer->comma) put_byte(writer, ',');
  writer->comma = true;
}

/* Writes the major type with its argument in as few bytes as possible (RFC 8949, section 3). */
static void put_head(aiot_writer *writer, uint8_t major, uint64_t argument) {
  uint8_t head[9];
  size_t bytes = argument < 24 ? 0 : argument <= 0xFF ? 1 : argument <= 0xFFFF ? 2 : argument <= 0xFFFFFFFFU ? 4 : 8;
  static const uint8_t additional[] = {0, 24, 25, 0, 26, 0, 0, 0, 27};
  head[0] = (uint8_t)(major << 5 | (bytes == 0 ? (uint8_t)argument : additional[bytes]));
  for (size_t i = 0; i < bytes; i++) head[1 + i] = (uint8_t)(argument >> (8 * (bytes - 1 - i)));
  put(writer, head, 1 + bytes);
}

/* CBOR containers have indefinite length, because the number of members is not known yet. */
static void enter(aiot_writer *writer, char json, uint8_t cbor) {
  separate(writer);
  put_byte(writer, is_cbor(writer) ? cbor : (uint8_t)json);
  writer->comma = false;
}

static void leave(aiot_writer *writer, char json) {
  put_byte(writer, is_cbor(writer) ? 0xFF : (uint8_t)json);
  writer->comma = true;
}

void aiot_write_object(aiot_writer *writer) { enter(writer, '{', 0xBF); }
void aiot_write_object_end(aiot_writer *writer) { leave(writer, '}'); }
void aiot_write_array(aiot_writer *writer) { enter(writer, '[', 0x9F); }
void aiot_write_array_end(aiot_writer *writer) { leave(writer, ']'); }

/* Size of the UTF-8 character that starts here; 0 = invalid (RFC 3629: no overlong form, no surrogate). */
static size_t character(const uint8_t *text) {
  if (text[0] < 0x80) return 1;
  size_t bytes = text[0] >= 0xF0 ? 4 : text[0] >= 0xE0 ? 3 : 2;
  if (text[0] < 0xC2 || text[0] > 0xF4) return 0;
  for (size_t i = 1; i < bytes; i++) {
    if ((text[i] & 0xC0) != 0x80) return 0;
  }
  bool overlong = (text[0] == 0xE0 && text[1] < 0xA0) || (text[0] == 0xF0 && text[1] < 0x90);
  bool outside = (text[0] == 0xED && text[1] > 0x9F) || (text[0] == 0xF4 && text[1] > 0x8F);
  return overlong || outside ? 0 : bytes;
}

static void put_escaped(aiot_writer *writer, uint8_t byte) {
  static const char hex[] = "0123456789abcdef";
  static const char short_names[] = "btn\0fr";
  char short_name = byte >= 8 && byte <= 13 ? short_names[byte - 8] : '\0';
  if (byte == '"' || byte == '\\') {
    put(writer, (char[]){'\\', (char)byte}, 2);
  } else if (short_name != '\0') {
    put(writer, (char[]){'\\', short_name}, 2);
  } else if (byte < 0x20) {
    put(writer, (char[]){'\\', 'u', '0', '0', hex[byte >> 4], hex[byte & 15]}, 6);
  } else {
    put_byte(writer, byte);
  }
}

/* Writes the text's characters; with `count`, only counts their bytes. */
static size_t characters(aiot_writer *writer, const char *text, bool count) {
  size_t total = 0;
  for (const uint8_t *at = (const uint8_t *)text; *at != 0;) {
    size_t bytes = character(at);
    const void *data = bytes == 0 ? (const void *)"\xEF\xBF\xBD" : at;
    size_t written = bytes == 0 ? 3 : bytes;
    if (!count && written == 1 && !is_cbor(writer)) put_escaped(writer, *at);
    else if (!count) put(writer, data, written);
    total += written;
    at += bytes == 0 ? 1 : bytes;
  }
  return total;
}

static void put_text(aiot_writer *writer, const char *text) {
  if (is_cbor(writer)) {
    put_head(writer, 3, characters(writer, text, true));
    characters(writer, text, false);
    return;
  }
  put_byte(writer, '"');
  characters(writer, text, false);
  put_byte(writer, '"');
}

void aiot_write_key(aiot_writer *writer, const char *key) {
  separate(writer);
  put_text(writer, key);
  if (!is_cbor(writer)) put_byte(writer, ':');
  writer->comma = false;
}

void aiot_write_text(aiot_writer *writer, const char *text) {
  separate(writer);
  put_text(writer, text);
}

void aiot_write_integer(aiot_writer *writer, int64_t value) {
  separate(writer);
  uint64_t size = value < 0 ? (uint64_t) - (value + 1) + 1 : (uint64_t)value;
  if (is_cbor(writer)) {
    put_head(writer, value < 0 ? 1 : 0, value < 0 ? size - 1 : size);
    return;
  }
  char text[20];
  size_t at = sizeof text;
  do {
    text[--at] = (char)('0' + size % 10);
    size /= 10;
  } while (size > 0);
  if (value < 0) text[--at] = '-';
  put(writer, text + at, sizeof text - at);
}

static void put_float(aiot_writer *writer, double value) {
  float narrow = (float)value;
  uint8_t head[9];
  size_t bytes = (double)narrow == value ? 4 : 8;
  uint64_t bits = 0;
  if (bytes == 4) {
    uint32_t narrow_bits;
    memcpy(&narrow_bits, &narrow, sizeof narrow_bits);
    bits = narrow_bits;
  } else {
    memcpy(&bits, &value, sizeof bits);
  }
  head[0] = bytes == 4 ? 0xFA : 0xFB;
  for (size_t i = 0; i < bytes; i++) head[1 + i] = (uint8_t)(bits >> (8 * (bytes - 1 - i)));
  put(writer, head, 1 + bytes);
}

void aiot_write_number(aiot_writer *writer, double value) {
  if (!isfinite(value)) {
    aiot_write_null(writer);
    return;
  }
  bool negative_zero = value == 0 && signbit(value);
  if (fabs(value) < 9007199254740992.0 && value == (double)(int64_t)value && !(is_cbor(writer) && negative_zero)) {
    aiot_write_integer(writer, (int64_t)value);
    return;
  }
  separate(writer);
  if (is_cbor(writer)) {
    put_float(writer, value);
    return;
  }
  char text[AIOT_NUMBER_BYTES];
  put(writer, text, aiot_number_text(value, text));
}

void aiot_write_boolean(aiot_writer *writer, bool value) {
  separate(writer);
  if (is_cbor(writer)) put_byte(writer, value ? 0xF5 : 0xF4);
  else put(writer, value ? "true" : "false", value ? 4 : 5);
}

void aiot_write_null(aiot_writer *writer) {
  separate(writer);
  if (is_cbor(writer)) put_byte(writer, 0xF6);
  else put(writer, "null", 4);
}

size_t aiot_write_end(const aiot_writer *writer) { return writer->failed ? 0 : writer->used; }

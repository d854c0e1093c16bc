#include "archive.h"

#include <string.h>

enum { BLOCK = 512, RECORD = 20 * BLOCK, NAME = 100, SIZE_AT = 124, SIZE_DIGITS = 11, SUM_AT = 148, SUM_BYTES = 8 };

static bool all_zero(const uint8_t *data, size_t bytes) {
  for (size_t i = 0; i < bytes; i++)
    if (data[i] != 0) return false;
  return true;
}

static bool read_octal(const uint8_t *digits, size_t count, uint64_t *value) {
  *value = 0;
  for (size_t i = 0; i < count; i++) {
    if (digits[i] < '0' || digits[i] > '7') return false;
    *value = *value << 3 | (uint64_t)(digits[i] - '0');
  }
  return true;
}

/* Sum of the header's bytes, with the checksum field counted as spaces (POSIX.1-1988, 10.1.1). */
static bool sum_is_right(const uint8_t *header) {
  uint64_t told = 0;
  uint32_t sum = SUM_BYTES * ' ';
  for (size_t i = 0; i < BLOCK; i++)
    if (i < SUM_AT || i >= SUM_AT + SUM_BYTES) sum += header[i];
  /* The stored sum has any number of octal digits, then a NUL or a space. */
  size_t digits = 0;
  while (digits < SUM_BYTES && header[SUM_AT + digits] != 0 && header[SUM_AT + digits] != ' ') digits++;
  return digits > 0 && read_octal(header + SUM_AT, digits, &told) && told == sum;
}

bool aiot_archive_next(const uint8_t *data, size_t bytes, size_t *at, const char *name, aiot_span *member) {
  if (bytes < BLOCK || *at > bytes - BLOCK) return false;
  const uint8_t *header = data + *at;
  const size_t left = bytes - *at - BLOCK;
  const size_t name_bytes = strlen(name);
  uint64_t size = 0;
  if (memcmp(header, name, name_bytes) != 0 || !all_zero(header + name_bytes, NAME - name_bytes)) return false;
  if (!read_octal(header + SIZE_AT, SIZE_DIGITS, &size) || size > left || !sum_is_right(header)) return false;
  const size_t padding = (size_t)(-size & (BLOCK - 1));
  if (padding > left - (size_t)size || !all_zero(header + BLOCK + (size_t)size, padding)) return false;
  *member = (aiot_span){header + BLOCK, (size_t)size};
  *at += BLOCK + (size_t)size + padding;
  return true;
}

bool aiot_archive_ends(const uint8_t *data, size_t bytes, size_t at) {
  const size_t whole = (at + 2 * BLOCK + RECORD - 1) / RECORD * RECORD;
  return bytes == whole && all_zero(data + at, bytes - at);
}

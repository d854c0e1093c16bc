#include "flexbuffer.h"

#include <string.h>

/* Types of values, above the two bits of the width. */
enum { INT = 1, UINT = 2, INDIRECT_INT = 6, INDIRECT_UINT = 7, MAP = 9, BOOLEAN = 26 };

/* The bytes of the map, and whether a position was outside of them. */
typedef struct {
  const uint8_t *data;
  uint32_t bytes;
  bool broken;
} source;

static uint64_t read(source *in, uint32_t at, uint32_t width) {
  if (at > in->bytes || width > in->bytes - at) {
    in->broken = true;
    return 0;
  }
  uint64_t value = 0;
  for (uint32_t i = 0; i < width; i++) value |= (uint64_t)in->data[at + i] << (8 * i);
  return value;
}

/* The position to which the offset at `at` refers. It precedes `at`. */
static uint32_t follow(source *in, uint32_t at, uint32_t width) {
  const uint64_t offset = read(in, at, width);
  if (offset > at) in->broken = true;
  return in->broken ? 0 : at - (uint32_t)offset;
}

static bool is_key(source *in, uint32_t at, const char *key) {
  const uint32_t bytes = (uint32_t)strlen(key) + 1;
  return at <= in->bytes && bytes <= in->bytes - at && memcmp(in->data + at, key, bytes) == 0;
}

/* An integer of this type. If it is indirect, it may be wider than the offset that refers to it. */
static int32_t integer(source *in, uint32_t at, uint32_t width, uint8_t packed) {
  const unsigned type = packed >> 2;
  if (type == INDIRECT_INT || type == INDIRECT_UINT) {
    at = follow(in, at, width);
    width = 1u << (packed & 3);
  }
  if (type != INT && type != UINT && type != BOOLEAN && type != INDIRECT_INT && type != INDIRECT_UINT) in->broken = true;
  const uint64_t value = read(in, at, width);
  if (type == BOOLEAN) return value != 0;
  const bool negative = (type == INT || type == INDIRECT_INT) && value >> (8 * width - 1) & 1;
  /* A negative number has ones above its width. */
  const uint64_t whole = negative && width < 8 ? value | UINT64_MAX << (8 * width) : value;
  const bool fits = negative ? whole >= (uint64_t)INT32_MIN : whole <= INT32_MAX;
  if (!fits) in->broken = true;
  return (int32_t)(uint32_t)whole;
}

bool aiot_flexbuffer_map(const aiot_flatbuffer *file, aiot_vector bytes, const char *const *keys, size_t count, int32_t *values) {
  source in = {file->data + bytes.at, bytes.count, false};
  if (bytes.count < 3) return false;
  /* The last bytes are the map's offset, its type and the width of the offset. */
  const uint32_t root = in.data[in.bytes - 1], packed = in.data[in.bytes - 2];
  if (packed >> 2 != MAP || (root != 1 && root != 2 && root != 4 && root != 8) || root + 2 > in.bytes) return false;
  const uint32_t width = 1u << (packed & 3), map = follow(&in, in.bytes - 2 - root, root);
  if (in.broken || map < 3 * width || read(&in, map - width, width) != count) return false;
  const uint64_t key_width = read(&in, map - 2 * width, width);
  const uint32_t list = follow(&in, map - 3 * width, width);
  if (in.broken || (key_width != 1 && key_width != 2 && key_width != 4 && key_width != 8)) return false;
  for (uint32_t i = 0; i < count; i++) {
    const uint32_t key = follow(&in, list + i * (uint32_t)key_width, (uint32_t)key_width);
    if (in.broken || !is_key(&in, key, keys[i])) return false;
    const uint8_t type = (uint8_t)read(&in, map + (uint32_t)count * width + i, 1);
    values[i] = integer(&in, map + i * width, width, type);
  }
  return !in.broken;
}

#include "flatbuffer.h"

#include <string.h>

static bool inside(aiot_flatbuffer *file, uint32_t at, uint32_t bytes) {
  if (at <= file->bytes && bytes <= file->bytes - at) return true;
  file->broken = true;
  return false;
}

static uint16_t u16(aiot_flatbuffer *file, uint32_t at) {
  if (!inside(file, at, 2)) return 0;
  return (uint16_t)(file->data[at] | file->data[at + 1] << 8);
}

static uint32_t u32(aiot_flatbuffer *file, uint32_t at) {
  if (!inside(file, at, 4)) return 0;
  const uint8_t *byte = file->data + at;
  return (uint32_t)byte[0] | (uint32_t)byte[1] << 8 | (uint32_t)byte[2] << 16 | (uint32_t)byte[3] << 24;
}

static float f32(aiot_flatbuffer *file, uint32_t at) {
  const uint32_t bits = u32(file, at);
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

/* Target of the offset at `at`; 0 = it is outside the file. */
static uint32_t follow(aiot_flatbuffer *file, uint32_t at) {
  const uint32_t offset = u32(file, at);
  if (offset == 0 || offset >= file->bytes || at >= file->bytes - offset) {
    file->broken = true;
    return 0;
  }
  return at + offset;
}

static aiot_table table_of(aiot_flatbuffer *file, uint32_t at) {
  const aiot_table none = {0, 0, 0, 0};
  if (at == 0) return none;
  const int64_t vtable = (int64_t)at - (int32_t)u32(file, at);
  if (vtable < 0 || vtable >= (int64_t)file->bytes) {
    file->broken = true;
    return none;
  }
  aiot_table table = {at, (uint32_t)vtable, u16(file, (uint32_t)vtable), u16(file, (uint32_t)vtable + 2)};
  if (table.vtable_bytes < 4 || !inside(file, table.vtable, table.vtable_bytes) || !inside(file, at, table.table_bytes)) {
    file->broken = true;
    return none;
  }
  return table;
}

/* Position of a field of `bytes` bytes; 0 = absent. */
static uint32_t field(aiot_flatbuffer *file, aiot_table table, unsigned slot, uint32_t bytes) {
  const uint32_t entry = 4 + 2 * (uint32_t)slot;
  if (table.at == 0 || entry + 2 > table.vtable_bytes) return 0;
  const uint32_t offset = u16(file, table.vtable + entry);
  if (offset == 0) return 0;
  if (offset < 4 || offset + bytes > table.table_bytes) {
    file->broken = true;
    return 0;
  }
  return table.at + offset;
}

aiot_table aiot_flatbuffer_root(aiot_flatbuffer *file, const char *identifier) {
  if (!inside(file, 0, 8) || memcmp(file->data + 4, identifier, 4) != 0) {
    file->broken = true;
    return table_of(file, 0);
  }
  return table_of(file, follow(file, 0));
}

int32_t aiot_flatbuffer_i32(aiot_flatbuffer *file, aiot_table table, unsigned slot, int32_t otherwise) {
  const uint32_t at = field(file, table, slot, 4);
  return at == 0 ? otherwise : (int32_t)u32(file, at);
}

int32_t aiot_flatbuffer_i8(aiot_flatbuffer *file, aiot_table table, unsigned slot, int32_t otherwise) {
  const uint32_t at = field(file, table, slot, 1);
  return at == 0 ? otherwise : (int8_t)file->data[at];
}

float aiot_flatbuffer_f32(aiot_flatbuffer *file, aiot_table table, unsigned slot, float otherwise) {
  const uint32_t at = field(file, table, slot, 4);
  return at == 0 ? otherwise : f32(file, at);
}

bool aiot_flatbuffer_has(aiot_flatbuffer *file, aiot_table table, unsigned slot) {
  return field(file, table, slot, 1) != 0;
}

bool aiot_flatbuffer_u64_above_one(aiot_flatbuffer *file, aiot_table table, unsigned slot) {
  const uint32_t at = field(file, table, slot, 8);
  return at != 0 && (u32(file, at) > 1 || u32(file, at + 4) != 0);
}

aiot_table aiot_flatbuffer_table(aiot_flatbuffer *file, aiot_table table, unsigned slot) {
  const uint32_t at = field(file, table, slot, 4);
  return table_of(file, at == 0 ? 0 : follow(file, at));
}

aiot_vector aiot_flatbuffer_vector(aiot_flatbuffer *file, aiot_table table, unsigned slot, uint32_t element_bytes) {
  const aiot_vector none = {0, 0};
  const uint32_t from = field(file, table, slot, 4);
  const uint32_t at = from == 0 ? 0 : follow(file, from);
  if (at == 0) return none;
  const aiot_vector vector = {at + 4, u32(file, at)};
  if (!inside(file, at, 4) || vector.count > (file->bytes - vector.at) / element_bytes) {
    file->broken = true;
    return none;
  }
  return vector;
}

/* Position of an element; 0 = absent. */
static uint32_t element(aiot_flatbuffer *file, aiot_vector vector, uint32_t index, uint32_t bytes) {
  if (index < vector.count) return vector.at + index * bytes;
  file->broken = true;
  return 0;
}

int32_t aiot_flatbuffer_i32_at(aiot_flatbuffer *file, aiot_vector vector, uint32_t index) {
  const uint32_t at = element(file, vector, index, 4);
  return at == 0 ? 0 : (int32_t)u32(file, at);
}

float aiot_flatbuffer_f32_at(aiot_flatbuffer *file, aiot_vector vector, uint32_t index) {
  const uint32_t at = element(file, vector, index, 4);
  return at == 0 ? 0.0f : f32(file, at);
}

int32_t aiot_flatbuffer_i64_at(aiot_flatbuffer *file, aiot_vector vector, uint32_t index) {
  const uint32_t at = element(file, vector, index, 8);
  if (at == 0) return 0;
  const int32_t low = (int32_t)u32(file, at);
  if ((int32_t)u32(file, at + 4) != (low < 0 ? -1 : 0)) file->broken = true;
  return low;
}

aiot_table aiot_flatbuffer_table_at(aiot_flatbuffer *file, aiot_vector vector, uint32_t index) {
  const uint32_t at = element(file, vector, index, 4);
  return table_of(file, at == 0 ? 0 : follow(file, at));
}

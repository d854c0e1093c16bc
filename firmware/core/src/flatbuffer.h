/*
 * Reads FlatBuffers (https://flatbuffers.dev/internals/) in place, little-endian, at any alignment. Every offset and count is checked
 * against the file's bounds. If one is invalid, the value is 0 and `broken` is set. Callers must check `broken` before they use any value.
 */
#ifndef AIOT_FLATBUFFER_H
#define AIOT_FLATBUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
  const uint8_t *data;
  uint32_t bytes;
  bool broken;
} aiot_flatbuffer;

/* Position of a table; 0 = absent, so that every field has its default. */
typedef struct {
  uint32_t at;
  uint32_t vtable;
  uint16_t vtable_bytes;
  uint16_t table_bytes;
} aiot_table;

typedef struct {
  /* Position of the first element. */
  uint32_t at;
  uint32_t count;
} aiot_vector;

/* The root table of a file with this four-letter identifier. If the file has another one, it is marked as broken. */
aiot_table aiot_flatbuffer_root(aiot_flatbuffer *file, const char *identifier);

int32_t aiot_flatbuffer_i32(aiot_flatbuffer *file, aiot_table table, unsigned slot, int32_t otherwise);
/* Reads a field of one byte: bool, enum, union type. */
int32_t aiot_flatbuffer_i8(aiot_flatbuffer *file, aiot_table table, unsigned slot, int32_t otherwise);
float aiot_flatbuffer_f32(aiot_flatbuffer *file, aiot_table table, unsigned slot, float otherwise);
aiot_table aiot_flatbuffer_table(aiot_flatbuffer *file, aiot_table table, unsigned slot);
/* Whether a field is present. */
bool aiot_flatbuffer_has(aiot_flatbuffer *file, aiot_table table, unsigned slot);
/* Whether an unsigned 64-bit field is above 1; false if it is absent. */
bool aiot_flatbuffer_u64_above_one(aiot_flatbuffer *file, aiot_table table, unsigned slot);
/* A field that is a vector of elements of this size; the vector is empty if the field is absent. */
aiot_vector aiot_flatbuffer_vector(aiot_flatbuffer *file, aiot_table table, unsigned slot, uint32_t element_bytes);

/* Elements of a vector of int32s, float32s, int64s (the low half; broken if the value does not fit) or tables. */
int32_t aiot_flatbuffer_i32_at(aiot_flatbuffer *file, aiot_vector vector, uint32_t index);
float aiot_flatbuffer_f32_at(aiot_flatbuffer *file, aiot_vector vector, uint32_t index);
int32_t aiot_flatbuffer_i64_at(aiot_flatbuffer *file, aiot_vector vector, uint32_t index);
aiot_table aiot_flatbuffer_table_at(aiot_flatbuffer *file, aiot_vector vector, uint32_t index);

#endif

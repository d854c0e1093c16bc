/*
 * Reads FlatBuffers (https://flatbuffers.dev/internals/) where they lie, little endian, at any alignment. No offset or count is
 * believed before it was checked to stay inside the file: what does not reads as 0 and sets `broken`, which whoever reads
 * looks at before using anything.
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

/* Position 0 = there is none: every field then has its default. */
typedef struct {
  uint32_t at;
  uint32_t vtable;
  uint16_t vtable_bytes;
  uint16_t table_bytes;
} aiot_table;

typedef struct {
  /* Of the first element. */
  uint32_t at;
  uint32_t count;
} aiot_vector;

/* The root table of a file with this identifier of four letters; broken where it is another. */
aiot_table aiot_flatbuffer_root(aiot_flatbuffer *file, const char *identifier);

int32_t aiot_flatbuffer_i32(aiot_flatbuffer *file, aiot_table table, unsigned slot, int32_t otherwise);
/* Of a field of one byte: bool, enum, union type. */
int32_t aiot_flatbuffer_i8(aiot_flatbuffer *file, aiot_table table, unsigned slot, int32_t otherwise);
float aiot_flatbuffer_f32(aiot_flatbuffer *file, aiot_table table, unsigned slot, float otherwise);
aiot_table aiot_flatbuffer_table(aiot_flatbuffer *file, aiot_table table, unsigned slot);
/* Whether a field is present. */
bool aiot_flatbuffer_has(aiot_flatbuffer *file, aiot_table table, unsigned slot);
/* Whether a field of 64 bits, unsigned, is above 1; an absent one is not. */
bool aiot_flatbuffer_u64_above_one(aiot_flatbuffer *file, aiot_table table, unsigned slot);
/* A field that is a vector of elements of this size; no elements where it is absent. */
aiot_vector aiot_flatbuffer_vector(aiot_flatbuffer *file, aiot_table table, unsigned slot, uint32_t element_bytes);

/* Elements of a vector of int32s, float32s, int64s (its low half, broken when it does not fit), tables. */
int32_t aiot_flatbuffer_i32_at(aiot_flatbuffer *file, aiot_vector vector, uint32_t index);
float aiot_flatbuffer_f32_at(aiot_flatbuffer *file, aiot_vector vector, uint32_t index);
int32_t aiot_flatbuffer_i64_at(aiot_flatbuffer *file, aiot_vector vector, uint32_t index);
aiot_table aiot_flatbuffer_table_at(aiot_flatbuffer *file, aiot_vector vector, uint32_t index);

#endif

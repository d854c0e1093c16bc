/* Reads the options of custom operators, which are a FlexBuffers map of integers (https://flatbuffers.dev/flexbuffers/). */
#ifndef AIOT_FLEXBUFFER_H
#define AIOT_FLEXBUFFER_H

#include "flatbuffer.h"

/*
 * Reads a map that has exactly these keys, in order, into `values`; bools become 0 and 1. Every offset is checked against the vector's
 * bounds. False if the bytes are something else, or if a value does not fit 32 bits.
 */
bool aiot_flexbuffer_map(const aiot_flatbuffer *file, aiot_vector bytes, const char *const *keys, size_t count, int32_t *values);

#endif

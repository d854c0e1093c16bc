/*
 * Applies patches from one release to another as a stream, in detools' sequential format with heatshrink
 * (docs/reference/protocol.md, "Deltas"). src/lib/formats/delta/apply.ts does the same in TypeScript, with the same results. It
 * uses no memory except this struct.
 */
#ifndef AIOT_DELTA_H
#define AIOT_DELTA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Maximum window size, in bits. */
#define AIOT_DELTA_WINDOW 11
/* Number of bytes of the base that are read at a time. */
#define AIOT_DELTA_BLOCK 256

typedef enum {
  /* All input has been consumed. */
  AIOT_DELTA_NEEDS,
  /* The output is full; pass the rest of the input again. */
  AIOT_DELTA_FULL,
  /* The input is not a patch, or a patch for another base or another result. */
  AIOT_DELTA_BROKEN,
  /* The base could not be read. */
  AIOT_DELTA_UNREADABLE
} aiot_delta_state;

/* Reads from the base, never beyond its end. False = read error. */
typedef bool (*aiot_delta_read)(void *context, uint32_t offset, void *out, size_t bytes);

typedef struct {
  aiot_delta_read read;
  void *context;
  uint32_t base_bytes;
  /* Size of the result, and the number of bytes produced so far. */
  uint32_t total;
  uint32_t made;

  uint8_t stage;
  /* Number of bytes left in the current piece, and its position in the base. */
  uint32_t left;
  uint32_t from;
  /* A number being read. */
  uint64_t value;
  uint8_t shift;
  bool negative;
  /* Range of the base that is in `block`. */
  uint32_t block_at;
  uint32_t block_bytes;

  /* State of the compressed stream: unused bits, and a match that is being repeated. */
  uint8_t window_bits;
  uint8_t lookahead_bits;
  uint8_t bits;
  uint32_t held;
  uint32_t at;
  uint32_t distance;
  uint32_t repeats;
  uint8_t block[AIOT_DELTA_BLOCK];
  uint8_t window[1u << AIOT_DELTA_WINDOW];
} aiot_delta;

void aiot_delta_begin(aiot_delta *delta, aiot_delta_read read, void *context, uint32_t base_bytes, uint32_t total);

/*
 * Consumes patch bytes from `in`, stores their number in `used`, and writes at most `room` bytes of the result; `delta->made` counts the
 * bytes written.
 */
aiot_delta_state aiot_delta_push(aiot_delta *delta, const uint8_t *in, size_t bytes, size_t *used, uint8_t *out, size_t room);

/* Whether the result is complete. */
bool aiot_delta_done(const aiot_delta *delta);

#endif

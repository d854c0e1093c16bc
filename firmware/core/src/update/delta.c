#include "aiot/delta.h"

#include <string.h>

enum { TYPE, SIZE, SHAPE, FORMAT, DIFF_SIZE, DIFF, EXTRA_SIZE, EXTRA, STEP, END };
/* First byte of a sequential patch that is compressed with heatshrink, and the maximum shift of a number's bits. */
enum { SEQUENTIAL_HEATSHRINK = 4, LONGEST_NUMBER = 41 };

void aiot_delta_begin(aiot_delta *d, aiot_delta_read read, void *context, uint32_t base_bytes, uint32_t total) {
  memset(d, 0, sizeof *d);
  d->read = read;
  d->context = context;
  d->base_bytes = base_bytes;
  d->total = total;
}

bool aiot_delta_done(const aiot_delta *d) { return d->stage == END; }

/* Handles another byte of a number. 1 = complete, in `value`; 0 = incomplete; −1 = too long. */
static int number(aiot_delta *d, uint8_t byte) {
  if (d->shift == 0) {
    d->negative = (byte & 0x40) != 0;
    d->value = byte & 0x3f;
    d->shift = 6;
  } else {
    d->value |= (uint64_t)(byte & 0x7f) << d->shift;
    d->shift = (uint8_t)(d->shift + 7);
  }
  if (d->shift > LONGEST_NUMBER) return -1;
  if ((byte & 0x80) != 0) return 0;
  d->shift = 0;
  return 1;
}

/* Handles a byte of the header, which precedes the compressed data. */
static bool header(aiot_delta *d, uint8_t byte) {
  if (d->stage == TYPE) {
    d->stage = SIZE;
    return byte == SEQUENTIAL_HEATSHRINK;
  }
  if (d->stage == SIZE) {
    const int ends = number(d, byte);
    if (ends <= 0) return ends == 0;
    d->stage = SHAPE;
    return !d->negative && d->value == d->total;
  }
  d->window_bits = (uint8_t)((byte >> 4) + 4);
  d->lookahead_bits = (uint8_t)((byte & 15) + 3);
  d->stage = FORMAT;
  return d->window_bits <= AIOT_DELTA_WINDOW && d->lookahead_bits < d->window_bits;
}

/*
 * Begins a piece. `value` is the number of bytes that are added to those of the base, or copied literally. False if it is
 * invalid.
 */
static bool begin_piece(aiot_delta *d, uint8_t stage) {
  if ((d->negative && d->value != 0) || d->value > d->total - d->made) return false;
  if (stage == DIFF && d->value > d->base_bytes - d->from) return false;
  d->left = (uint32_t)d->value;
  d->stage = d->left > 0 ? stage : stage == DIFF ? EXTRA_SIZE : STEP;
  return true;
}

static bool step(aiot_delta *d) {
  const int64_t to = (int64_t)d->from + (d->negative ? -(int64_t)d->value : (int64_t)d->value);
  if (to < 0 || to > (int64_t)d->base_bytes) return false;
  d->from = (uint32_t)to;
  d->stage = d->made == d->total ? END : DIFF_SIZE;
  return true;
}

static bool base_byte(aiot_delta *d, uint8_t *out) {
  const uint32_t at = d->from++;
  if (at < d->block_at || at >= d->block_at + d->block_bytes) {
    const uint32_t left = d->base_bytes - at;
    d->block_at = at;
    d->block_bytes = left < AIOT_DELTA_BLOCK ? left : AIOT_DELTA_BLOCK;
    if (!d->read(d->context, at, d->block, d->block_bytes)) return false;
  }
  *out = d->block[at - d->block_at];
  return true;
}

static void emitted(aiot_delta *d, uint8_t then) {
  d->made++;
  if (--d->left == 0) d->stage = then;
}

/* Handles a decompressed byte. If it yields a byte of the result, that byte is written to `out`, and *out advances. */
static aiot_delta_state body(aiot_delta *d, uint8_t byte, uint8_t **out) {
  int ends = 1;
  bool good = true;
  uint8_t base;
  switch (d->stage) {
    case FORMAT:
      d->stage = DIFF_SIZE;
      good = byte == 0;
      break;
    case DIFF_SIZE:
    case EXTRA_SIZE:
      ends = number(d, byte);
      if (ends > 0) good = begin_piece(d, d->stage == DIFF_SIZE ? DIFF : EXTRA);
      break;
    case DIFF:
      if (!base_byte(d, &base)) return AIOT_DELTA_UNREADABLE;
      *(*out)++ = (uint8_t)(base + byte);
      emitted(d, EXTRA_SIZE);
      break;
    case EXTRA:
      *(*out)++ = byte;
      emitted(d, STEP);
      break;
    case STEP:
      ends = number(d, byte);
      if (ends > 0) good = step(d);
      break;
    default:
      good = false;
  }
  return good && ends >= 0 ? AIOT_DELTA_NEEDS : AIOT_DELTA_BROKEN;
}

static uint32_t take(aiot_delta *d, uint8_t count) {
  d->bits = (uint8_t)(d->bits - count);
  const uint32_t value = d->held >> d->bits & ((1u << count) - 1);
  d->held &= (1u << d->bits) - 1;
  return value;
}

/* Returns the next decompressed byte, if the buffered bits contain a complete one. */
static bool next_byte(aiot_delta *d, uint8_t *byte) {
  const uint32_t mask = (1u << d->window_bits) - 1;
  if (d->repeats == 0) {
    if (d->bits == 0) return false;
    const bool literal = (d->held >> (d->bits - 1) & 1) != 0;
    if (d->bits < (literal ? 9 : 1 + d->window_bits + d->lookahead_bits)) return false;
    take(d, 1);
    if (literal) {
      *byte = (uint8_t)take(d, 8);
      d->window[d->at++ & mask] = *byte;
      return true;
    }
    d->distance = take(d, d->window_bits) + 1;
    d->repeats = take(d, d->lookahead_bits) + 1;
  }
  d->repeats--;
  *byte = d->window[(d->at - d->distance) & mask];
  d->window[d->at++ & mask] = *byte;
  return true;
}

aiot_delta_state aiot_delta_push(aiot_delta *d, const uint8_t *in, size_t bytes, size_t *used, uint8_t *out, size_t room) {
  uint8_t *const end = out + room;
  *used = 0;
  while (d->stage < FORMAT) {
    if (*used == bytes) return AIOT_DELTA_NEEDS;
    if (!header(d, in[(*used)++])) return AIOT_DELTA_BROKEN;
  }
  for (;;) {
    uint8_t byte;
    /* If the output is full, the next byte must not be consumed yet. */
    if (out == end) return AIOT_DELTA_FULL;
    if (next_byte(d, &byte)) {
      const aiot_delta_state state = body(d, byte, &out);
      if (state != AIOT_DELTA_NEEDS) return state;
      continue;
    }
    if (*used == bytes) return AIOT_DELTA_NEEDS;
    d->held = d->held << 8 | in[(*used)++];
    d->bits = (uint8_t)(d->bits + 8);
  }
}

/*
 * Memory that is given once, at the start, and handed out in a row: what the core uses instead of a heap. Giving back is
 * forgetting all that came after a mark, as when another model takes the place of the one before.
 */
#ifndef AIOT_ARENA_H
#define AIOT_ARENA_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
  uint8_t *base;
  size_t bytes;
  size_t used;
} aiot_arena;

void aiot_arena_init(aiot_arena *arena, void *memory, size_t bytes);

/* `bytes` zeroed bytes at a multiple of `alignment` (a power of two); NULL when the rest is too small, and then nothing was taken. */
void *aiot_arena_take(aiot_arena *arena, size_t bytes, size_t alignment);

#endif

/*
 * A block of memory, provided once at the start and allocated in order; the core's replacement for
 * a heap. Resetting to a mark frees everything allocated after it, for example when another model
 * replaces the previous one.
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

/*
 * Allocates `bytes` zeroed bytes, aligned to `alignment` (a power of two). Returns NULL and allocates nothing if too little memory is left.
 */
void *aiot_arena_take(aiot_arena *arena, size_t bytes, size_t alignment);

#endif

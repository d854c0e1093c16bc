/*
 * A block of memory, which the caller provides once and from which memory is allocated in order. It is the core's replacement for
 * a heap. Resetting it to a mark frees everything allocated after the mark, for example when another model replaces the previous
 * one.
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

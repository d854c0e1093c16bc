#include "aiot/arena.h"

#include <string.h>

void aiot_arena_init(aiot_arena *arena, void *memory, size_t bytes) {
  *arena = (aiot_arena){.base = memory, .bytes = bytes, .used = 0};
}

void *aiot_arena_take(aiot_arena *arena, size_t bytes, size_t alignment) {
  /* The address is aligned, not the offset, because the caller's memory may be unaligned. */
  const uintptr_t next = (uintptr_t)(arena->base + arena->used);
  const size_t gap = (size_t)(-next & (alignment - 1));
  const size_t left = arena->bytes - arena->used;
  if (gap > left || bytes > left - gap) return NULL;
  uint8_t *taken = arena->base + arena->used + gap;
  arena->used += gap + bytes;
  memset(taken, 0, bytes);
  return taken;
}

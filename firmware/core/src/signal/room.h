/* Allocates arrays of numbers from the arena. NULL if they do not fit, even if their size would overflow on a 32-bit machine. */
#ifndef AIOT_SIGNAL_ROOM_H
#define AIOT_SIGNAL_ROOM_H

#include "aiot/arena.h"

/* Maximum window length. Derived indices and sizes then fit into 32 bits. */
#define AIOT_WINDOW_MAX 65536u

static inline void *aiot_room(aiot_arena *arena, size_t count, size_t bytes) {
  return count > SIZE_MAX / bytes ? NULL : aiot_arena_take(arena, count * bytes, bytes);
}

static inline double *aiot_doubles(aiot_arena *arena, size_t count) {
  return aiot_room(arena, count, sizeof(double));
}

#endif

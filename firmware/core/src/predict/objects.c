#include "objects.h"

#include <math.h>

aiot_code aiot_objects_open(aiot_objects *objects, const aiot_object_spec *spec, size_t classes, aiot_arena *arena) {
  if (spec->rows == 0 || spec->columns == 0 || spec->rows > UINT16_MAX / spec->columns) return AIOT_MODEL_UNSUPPORTED;
  const size_t cells = spec->rows * spec->columns;
  *objects = (aiot_objects){.spec = *spec, .classes = classes, .room = cells < AIOT_OBJECTS_MAX ? cells : AIOT_OBJECTS_MAX};
  objects->most = aiot_arena_take(arena, cells * sizeof(int16_t), _Alignof(int16_t));
  objects->open = aiot_arena_take(arena, cells, 1);
  objects->stack = aiot_arena_take(arena, cells * sizeof(uint16_t), _Alignof(uint16_t));
  objects->object = aiot_arena_take(arena, objects->room * sizeof(aiot_object), _Alignof(aiot_object));
  return objects->most && objects->open && objects->stack && objects->object ? AIOT_OK : AIOT_MEMORY_SHORT;
}

/* Rounds like JavaScript: halves up. Adding 0.5 first would round 0.49999999999999994 up. */
static double rounded(double value, double steps) {
  const double scaled = value * steps, below = floor(scaled);
  return (scaled - below >= 0.5 ? below + 1 : below) / steps;
}

/* A value of an int8 or int16 output. */
static int16_t value_at(const void *output, int32_t type, size_t index) {
  return type == AIOT_INT16 ? ((const int16_t *)output)[index] : ((const int8_t *)output)[index];
}

/* Index of the most probable class; the first one if several are equally probable. */
static size_t class_of(const aiot_objects *o, const void *output, int32_t type, size_t cell) {
  const size_t first = cell * (1 + o->classes) + 1;
  size_t best = 0;
  for (size_t c = 1; c < o->classes; c++)
    if (value_at(output, type, first + c) > value_at(output, type, first + best)) best = c;
  return best;
}

static double share_of(const aiot_tensor *tensor, int16_t quantized) {
  return tensor->scale * (double)(quantized - tensor->zero_point);
}

/* The open cell with the largest probability (the first one if several are equal), or the number of cells if none is open. */
static size_t peak_of(const aiot_objects *o, size_t cells) {
  size_t peak = cells;
  for (size_t cell = 0; cell < cells; cell++)
    if (o->open[cell] && (peak == cells || o->most[cell] > o->most[peak])) peak = cell;
  return peak;
}

/* Pushes the open neighbors of a cell that are not stronger than the cell. */
static size_t descend(const aiot_objects *o, size_t cell, size_t depth) {
  const size_t row = cell / o->spec.columns, column = cell % o->spec.columns;
  const size_t top = row == 0 ? 0 : row - 1, left = column == 0 ? 0 : column - 1;
  for (size_t y = top; y <= row + 1 && y < o->spec.rows; y++) {
    for (size_t x = left; x <= column + 1 && x < o->spec.columns; x++) {
      const size_t next = y * o->spec.columns + x;
      if (!o->open[next] || o->most[next] > o->most[cell]) continue;
      o->open[next] = 0;
      o->stack[depth++] = (uint16_t)next;
    }
  }
  return depth;
}

static aiot_object object_at(const aiot_objects *o, const void *output, const aiot_tensor *tensor, size_t peak) {
  const double side = 8;
  double weight = 0, sum_x = 0, sum_y = 0;
  size_t depth = 1;
  o->stack[0] = (uint16_t)peak;
  o->open[peak] = 0;
  while (depth > 0) {
    const size_t cell = o->stack[--depth];
    const double share = share_of(tensor, o->most[cell]);
    weight += share;
    sum_x += share * ((double)(cell % o->spec.columns) + 0.5);
    sum_y += share * ((double)(cell / o->spec.columns) + 0.5);
    depth = descend(o, cell, depth);
  }
  return (aiot_object){
      .label = (int)class_of(o, output, tensor->type, peak),
      .x = rounded(fmin((double)o->spec.width, side * sum_x / weight), 100),
      .y = rounded(fmin((double)o->spec.height, side * sum_y / weight), 100),
      .confidence = rounded(share_of(tensor, o->most[peak]), 10000),
  };
}

size_t aiot_objects_find(const aiot_objects *o, const void *output, const aiot_tensor *tensor, double threshold) {
  const size_t cells = o->spec.rows * o->spec.columns;
  for (size_t cell = 0; cell < cells; cell++) {
    o->most[cell] = value_at(output, tensor->type, cell * (1 + o->classes) + 1 + class_of(o, output, tensor->type, cell));
    o->open[cell] = share_of(tensor, o->most[cell]) >= threshold;
  }
  size_t found = 0;
  for (; found < o->room; found++) {
    const size_t peak = peak_of(o, cells);
    if (peak == cells) break;
    o->object[found] = object_at(o, output, tensor, peak);
  }
  return found;
}

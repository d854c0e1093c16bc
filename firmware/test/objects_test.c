/* Compares the objects that the core finds in grids of class probabilities with those that the TypeScript implementation finds. */
#include "../core/src/predict/objects.h"

#include "check.h"

typedef struct {
  aiot_object_spec spec;
  size_t classes;
  double scale;
  int32_t zero_point;
  double threshold;
  const int8_t *output;
  size_t found;
  const aiot_object *object;
} objects_row;

#include "objects.inc"

#define ROWS(table) (sizeof(table) / sizeof((table)[0]))

static uint8_t memory[16 * 1024];

static bool same(const aiot_object *a, const aiot_object *b) {
  return a->label == b->label && a->x == b->x && a->y == b->y && a->confidence == b->confidence;
}

static void test_row(checks *c, const objects_row *row, size_t index, size_t *most) {
  aiot_arena arena;
  aiot_arena_init(&arena, memory, sizeof memory);
  aiot_objects objects;
  if (!check_equal(c, "open", index, AIOT_OK, aiot_objects_open(&objects, &row->spec, row->classes, &arena))) return;
  if (arena.used > *most) *most = arena.used;
  const aiot_tensor tensor = {row->spec.rows * row->spec.columns * (1 + row->classes), row->scale, row->zero_point, AIOT_INT8};
  /* The second run shows that the first left no state. */
  for (int time = 0; time < 2; time++) {
    const size_t found = aiot_objects_find(&objects, row->output, &tensor, row->threshold);
    check_equal(c, "objects of grid", index, (int64_t)row->found, (int64_t)found);
    for (size_t i = 0; i < row->found && i < found; i++)
      check_at(c, "grid and object", "differ", index * 100 + i, same(&row->object[i], &objects.object[i]));
  }
  aiot_arena_init(&arena, memory, arena.used - 1);
  check_equal(c, "short memory", index, AIOT_MEMORY_SHORT, aiot_objects_open(&objects, &row->spec, row->classes, &arena));
}

int main(void) {
  checks c = {0, 0};
  size_t most = 0, total = 0;
  for (size_t i = 0; i < ROWS(objects_rows); i++) {
    test_row(&c, &objects_rows[i], i, &most);
    total += objects_rows[i].found;
  }
  aiot_arena arena;
  aiot_arena_init(&arena, memory, sizeof memory);
  aiot_objects objects;
  const aiot_object_spec wide = {65536, 1, 8, 524288}, empty = {0, 1, 8, 0};
  check_equal(&c, "too many cells", 0, AIOT_MODEL_UNSUPPORTED, aiot_objects_open(&objects, &wide, 1, &arena));
  check_equal(&c, "no cells", 0, AIOT_MODEL_UNSUPPORTED, aiot_objects_open(&objects, &empty, 1, &arena));
  printf("%zu objects in %zu grids, with at most %zu bytes of memory\n", total, ROWS(objects_rows), most);
  return checks_end(&c);
}

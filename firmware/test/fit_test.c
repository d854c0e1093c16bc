/* Compares the pixels that a model gets from a camera's picture with those of the TypeScript implementation. */
#include "aiot/fit.h"

#include <string.h>

#include "check.h"

typedef struct {
  aiot_pixels format;
  aiot_image_spec target;
  size_t channels, width, height;
  const uint8_t *picture, *pixels;
} fit_row;

#include "fit.inc"

#define ROWS(table) (sizeof(table) / sizeof((table)[0]))

static uint8_t memory[32 * 1024], out[3 * 32 * 32];

static void test_row(checks *c, const fit_row *row, size_t index) {
  aiot_arena arena;
  aiot_arena_init(&arena, memory, sizeof memory);
  aiot_fitter *fitter;
  if (!check_equal(c, "open", index, AIOT_OK, aiot_fitter_open(&row->target, row->channels, row->width, row->height, &arena, &fitter))) return;
  const size_t bytes = row->target.width * row->target.height * row->channels;
  /* The second run shows that the first left no state. */
  for (int time = 0; time < 2; time++) {
    memset(out, 0xee, sizeof out);
    aiot_fitter_run(fitter, row->picture, row->format, out);
    check_at(c, "picture", "pixels", index, memcmp(out, row->pixels, bytes) == 0);
    check_equal(c, "nothing beyond the picture", index, 0xee, out[bytes]);
  }
  for (size_t part = 0; part < 8; part++) {
    aiot_arena own;
    aiot_arena_init(&own, memory, arena.used * part / 8);
    check_equal(c, "short memory", index, AIOT_MEMORY_SHORT, aiot_fitter_open(&row->target, row->channels, row->width, row->height, &own, &fitter));
  }
}

int main(void) {
  checks c = {0, 0};
  for (size_t i = 0; i < ROWS(fit_rows); i++) test_row(&c, &fit_rows[i], i);
  aiot_arena arena;
  aiot_arena_init(&arena, memory, sizeof memory);
  aiot_fitter *fitter;
  const aiot_image_spec target = {8, 8, AIOT_FIT_CROP}, empty = {0, 8, AIOT_FIT_CROP};
  check_equal(&c, "two channels", 0, AIOT_MODEL_UNSUPPORTED, aiot_fitter_open(&target, 2, 9, 9, &arena, &fitter));
  check_equal(&c, "no width", 0, AIOT_MODEL_UNSUPPORTED, aiot_fitter_open(&target, 1, 0, 9, &arena, &fitter));
  check_equal(&c, "too high", 0, AIOT_MODEL_UNSUPPORTED, aiot_fitter_open(&target, 1, 9, 65536, &arena, &fitter));
  check_equal(&c, "no target", 0, AIOT_MODEL_UNSUPPORTED, aiot_fitter_open(&empty, 1, 9, 9, &arena, &fitter));
  aiot_arena_init(&arena, memory, sizeof memory);
  check_equal(&c, "a picture of 160 x 120", 0, AIOT_OK, aiot_fitter_open(&(aiot_image_spec){96, 96, AIOT_FIT_CROP}, 1, 160, 120, &arena, &fitter));
  printf("96 x 96 gray from 160 x 120: %zu bytes\n", arena.used);
  return checks_end(&c);
}

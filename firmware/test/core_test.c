#include "aiot/fixed_point.h"
#include "aiot/hal.h"
#include "aiot/input.h"
#include "aiot/window.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

static int passed = 0;
static int failed = 0;

static void check(const char *what, size_t row, int64_t expected, int64_t got) {
  if (expected == got) {
    passed++;
    return;
  }
  failed++;
  printf("%s, row %zu: expected %" PRId64 ", got %" PRId64 "\n", what, row, expected, got);
}

typedef struct {
  int32_t a, b, result;
} binary_row;
typedef struct {
  int32_t x;
  int exponent;
  int32_t result;
} shift_row;
typedef struct {
  int32_t x, multiplier;
  int shift;
  int32_t result;
} multiply_row;
typedef struct {
  double feature, mean, deviation, scale;
  int32_t zero_point;
  int8_t result;
} input_row;

#include "golden.inc"

#define ROWS(table) (sizeof(table) / sizeof((table)[0]))

static void test_fixed_point(void) {
  for (size_t i = 0; i < ROWS(high_multiply_rows); i++) {
    const binary_row *r = &high_multiply_rows[i];
    check("doubling high multiply", i, r->result, aiot_doubling_high_multiply(r->a, r->b));
  }
  for (size_t i = 0; i < ROWS(shift_right_rows); i++) {
    const shift_row *r = &shift_right_rows[i];
    check("rounding shift right", i, r->result, aiot_rounding_shift_right(r->x, r->exponent));
  }
  for (size_t i = 0; i < ROWS(shift_left_rows); i++) {
    const shift_row *r = &shift_left_rows[i];
    check("saturating shift left", i, r->result, aiot_saturating_shift_left(r->x, r->exponent));
  }
  for (size_t i = 0; i < ROWS(multiply_rows); i++) {
    const multiply_row *r = &multiply_rows[i];
    check("multiply by quantized", i, r->result, aiot_multiply_by_quantized(r->x, r->multiplier, r->shift));
  }
}

static void test_input(void) {
  for (size_t i = 0; i < ROWS(input_rows); i++) {
    const input_row *r = &input_rows[i];
    const aiot_input_spec spec = {&r->mean, &r->deviation, 1, r->scale, r->zero_point, 1};
    int8_t q = 0;
    aiot_quantize_input(&spec, &r->feature, &q);
    check("quantize input", i, r->result, q);
  }
  const double one = 1.0, zero = 0.0, broken = NAN;
  const aiot_input_spec spec = {&zero, &one, 1, 0.5, -3, 1};
  int8_t q = 0;
  aiot_quantize_input(&spec, &broken, &q);
  check("quantize input that is not a number", 0, -3, q);
}

static void test_window(void) {
  enum { length = 5, axes = 2, stride = 2 };
  float ring[length * axes], copy[length * axes];
  aiot_window window;
  aiot_window_init(&window, ring, length, axes, stride);
  int windows = 0;
  for (int n = 0; n < 20; n++) {
    const float sample[axes] = {(float)n, (float)-n};
    const bool full = aiot_window_push(&window, sample);
    check("window full after sample", (size_t)n, n >= length - 1 && (n - (length - 1)) % stride == 0, full);
    if (!full) continue;
    windows++;
    aiot_window_copy(&window, copy);
    for (int k = 0; k < length; k++) {
      check("window's sample", (size_t)k, n - (length - 1) + k, (int64_t)copy[k * axes]);
      check("window's second axis", (size_t)k, -(n - (length - 1) + k), (int64_t)copy[k * axes + 1]);
    }
  }
  check("windows", 0, 8, windows);
  aiot_window_reset(&window);
  const float sample[axes] = {0, 0};
  check("window after a gap", 0, false, aiot_window_push(&window, sample));
}

int main(void) {
  const uint64_t start = aiot_hal_uptime_ms();
  test_fixed_point();
  test_input();
  test_window();
  check("uptime never decreases", 0, true, aiot_hal_uptime_ms() >= start);
  printf("%d checks passed, %d failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}

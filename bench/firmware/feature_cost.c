/*
 * Measures the cost of a window of features: retired instructions on RV32, in an emulator that counts them, and nanoseconds elsewhere.
 * Prints a line of JSON per row.
 */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "aiot/pipeline.h"

#if defined(__riscv)
static const char *const unit = "instructions";
static uint64_t now(void) {
  uint32_t high, low, again;
  do {
    __asm__ volatile("rdinstreth %0\n rdinstret %1\n rdinstreth %2" : "=r"(high), "=r"(low), "=r"(again));
  } while (high != again);
  return (uint64_t)high << 32 | low;
}
#else
static const char *const unit = "nanoseconds";
static uint64_t now(void) {
  struct timespec at;
  timespec_get(&at, TIME_UTC);
  return (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
}
#endif

#ifndef AIOT_ROUNDS
#define AIOT_ROUNDS 1
#endif

typedef struct {
  const char *what;
  aiot_signal_spec spec;
} row;

static const row rows[] = {
    {"raw", {3, {"x", "y", "z"}, 100, 0, 100, 128, 128, "raw", 0, NULL, {0}}},
    {"raw, low-pass, resampled", {3, {"x", "y", "z"}, 100, 12, 50, 128, 128, "raw", 0, NULL, {0}}},
    {"spectral", {4, {"current", "temperature", "vibration", "sound"}, 200, 0, 200, 400, 400, "spectral", 0, NULL, {0}}},
    {"motion", {3, {"x", "y", "z"}, 100, 12, 50, 250, 250, "motion", 0, NULL, {0}}},
    {"har", {3, {"x", "y", "z"}, 100, 0, 100, 500, 500, "har", 0, NULL, {0}}},
    {"har, length 3 * 167", {3, {"x", "y", "z"}, 100, 0, 100, 501, 501, "har", 0, NULL, {0}}},
};

static uint8_t memory[256 * 1024];

int main(void) {
  for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
    const aiot_signal_spec *spec = &rows[r].spec;
    aiot_arena arena;
    aiot_arena_init(&arena, memory, sizeof(memory));
    aiot_features *features;
    if (aiot_features_open(spec, &arena, &features) != AIOT_OK) return 1;
    uint64_t best = UINT64_MAX;
    uint32_t seed = 1;
    float kept = 0;
    for (int round = 0; round < AIOT_ROUNDS; round++) {
      aiot_features_reset(features);
      const uint64_t start = now();
      for (const float *out = NULL; !out;) {
        double sample[AIOT_FIELDS_MAX];
        for (size_t f = 0; f < spec->fields; f++) {
          seed = seed * 1664525u + 1013904223u;
          sample[f] = (double)(seed >> 20) / 2048 - 1;
        }
        out = aiot_features_push(features, sample);
        if (out) kept += out[0];
      }
      const uint64_t took = now() - start;
      if (took < best) best = took;
    }
    printf("{\"set\":\"%s\",\"fields\":%zu,\"window\":%zu,\"features\":%zu,\"%s\":%" PRIu64 ",\"bytes\":%zu,\"kept\":%.6g}\n", rows[r].what,
           spec->fields, spec->window_samples, aiot_features_count(features), unit, best, arena.used, (double)kept);
  }
  return 0;
}

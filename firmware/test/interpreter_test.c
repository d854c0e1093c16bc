/*
 * Tests the interpreter on networks of each kind (test/models.inc), on files that break a rule (test/rules.inc,
 * docs/reference/tflite-rules.md), and on damaged files: with every byte changed, and of every length.
 */
#include <stdlib.h>
#include <string.h>

#include "aiot/model.h"
#include "check.h"

typedef struct {
  const char *kind;
  const uint8_t *file;
  size_t bytes;
  const int8_t *input;
  size_t taken;
  const int8_t *output;
  size_t given;
} model_row;

#include "models.inc"

enum { RULE_CHANGES = 16 };

typedef struct {
  const char *what;
  const uint8_t *file;
  size_t bytes;
  size_t changes;
  struct {
    uint16_t at;
    uint8_t byte;
  } change[RULE_CHANGES];
  bool accepted;
} rule_row;

#include "rules.inc"

enum { RULES = sizeof rule_rows / sizeof rule_rows[0], RULE_BYTES = 4096 };

enum { ARENA_BYTES = 48 * 1024, MODELS = sizeof model_rows / sizeof model_rows[0] };

static uint8_t memory[ARENA_BYTES];
static int8_t output[ARENA_BYTES];

static aiot_code open_model(const uint8_t *file, size_t bytes, size_t arena_bytes, aiot_arena *arena, aiot_model **model) {
  aiot_arena_init(arena, memory, arena_bytes);
  return aiot_interpreter.open(file, bytes, arena, model);
}

static void test_answers(checks *c) {
  for (size_t at = 0; at < MODELS; at++) {
    const model_row *row = &model_rows[at];
    aiot_arena arena;
    aiot_model *model;
    if (!check_equal(c, row->kind, at, AIOT_OK, open_model(row->file, row->bytes, ARENA_BYTES, &arena, &model))) continue;
    check_equal(c, "input values", at, (int64_t)row->taken, (int64_t)aiot_interpreter.input(model)->count);
    check_equal(c, "output values", at, (int64_t)row->given, (int64_t)aiot_interpreter.output(model)->count);
    for (size_t run = 0; run < MODEL_RUNS; run++) {
      aiot_interpreter.invoke(model, row->input + run * row->taken, output);
      for (size_t i = 0; i < row->given; i++)
        check_equal(c, row->kind, run, row->output[run * row->given + i], output[i]);
    }
    printf("%s: %zu bytes of arena\n", row->kind, arena.used);
  }
}

/* The interpreter must accept or reject each file as the TypeScript interpreter does. */
static void test_rules(checks *c) {
  static uint8_t copy[RULE_BYTES];
  for (size_t at = 0; at < RULES; at++) {
    const rule_row *row = &rule_rows[at];
    if (!check_at(c, row->what, "it fits", 0, row->bytes <= sizeof copy)) continue;
    memcpy(copy, row->file, row->bytes);
    for (size_t i = 0; i < row->changes; i++) copy[row->change[i].at] = row->change[i].byte;
    aiot_arena arena;
    aiot_model *model;
    const aiot_code code = open_model(copy, row->bytes, ARENA_BYTES, &arena, &model);
    check_at(c, row->what, row->accepted ? "accepted" : "refused", 0, (code == AIOT_OK) == row->accepted);
    /* A small arena would also reject the valid files. */
    check_at(c, row->what, "not rejected for lack of memory", 0, code != AIOT_MEMORY_SHORT);
  }
  printf("%d files held to the rules\n", (int)RULES);
}

/*
 * With exactly the memory that was used, the network opens again. With one byte less, it is rejected and the arena is unchanged.
 */
static void test_memory(checks *c) {
  for (size_t at = 0; at < MODELS; at++) {
    const model_row *row = &model_rows[at];
    aiot_arena arena;
    aiot_model *model;
    open_model(row->file, row->bytes, ARENA_BYTES, &arena, &model);
    for (size_t bytes = 0; bytes < arena.used; bytes += 97) {
      aiot_arena less;
      check_equal(c, "a small arena", at, AIOT_MEMORY_SHORT, open_model(row->file, row->bytes, bytes, &less, &model));
      check_equal(c, "use of a small arena", at, 0, (int64_t)less.used);
      check_equal(c, "size of a small arena", at, (int64_t)bytes, (int64_t)less.bytes);
    }
  }
}

#ifndef __riscv
/* Maximum size of networks that are damaged, because each is opened once per byte. */
enum { BROKEN_BYTES = 2600 };

static int8_t input[ARENA_BYTES];

/*
 * A file with any content is either rejected, or runs within its memory, which the sanitizers check. `copy` is as long as the
 * file.
 */
static void try_broken(const model_row *row, const uint8_t *copy, size_t bytes, int *refused, int *ran) {
  aiot_arena arena;
  aiot_model *model;
  if (open_model(copy, bytes, ARENA_BYTES, &arena, &model) != AIOT_OK) {
    (*refused)++;
    return;
  }
  (*ran)++;
  const size_t taken = aiot_interpreter.input(model)->count, given = aiot_interpreter.output(model)->count;
  if (taken > sizeof input || given > sizeof output) return;
  memcpy(input, row->input, row->taken < taken ? row->taken : taken);
  aiot_interpreter.invoke(model, input, output);
}

static void test_broken(checks *c) {
  int refused = 0, ran = 0, cut = 0, cut_ran = 0;
  for (size_t at = 0; at < MODELS; at++) {
    const model_row *row = &model_rows[at];
    if (row->bytes > BROKEN_BYTES) continue;
    for (size_t bytes = 0; bytes < row->bytes; bytes++) {
      uint8_t *copy = malloc(bytes == 0 ? 1 : bytes);
      memcpy(copy, row->file, bytes);
      try_broken(row, copy, bytes, &cut, &cut_ran);
      free(copy);
    }
    uint8_t *copy = malloc(row->bytes);
    memcpy(copy, row->file, row->bytes);
    static const uint8_t flips[] = {0x01, 0x80, 0xFF};
    for (size_t byte = 0; byte < row->bytes; byte++)
      for (size_t flip = 0; flip < sizeof flips; flip++) {
        copy[byte] ^= flips[flip];
        try_broken(row, copy, row->bytes, &refused, &ran);
        copy[byte] ^= flips[flip];
      }
    free(copy);
  }
  printf("%d files with a byte changed: %d refused, %d ran; %d cut short: %d refused\n", refused + ran, refused, ran,
         cut + cut_ran, cut);
  check_at(c, "rejected files", "some of them", 0, refused > 100);
  check_at(c, "changed files that run", "some of them", 0, ran > 100);
}

#endif

int main(void) {
  checks c = {0, 0};
  test_answers(&c);
  test_rules(&c);
  test_memory(&c);
#ifndef __riscv
  /* Skipped in an emulator, where it takes a minute and there are no sanitizers. */
  test_broken(&c);
#endif
  return checks_end(&c);
}

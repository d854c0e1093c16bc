/*
 * Tests the golden vectors of bundles that the TypeScript implementation created, and their predictions over a stream. The first
 * argument is their folder. Without arguments, AIOT_FIXTURES is the folder, and only valid bundles are run, because an emulator
 * is slow.
 */
#include "aiot/pipeline.h"

#include <stdlib.h>
#include <string.h>

#include "check.h"

typedef struct {
  int label, voted;
  uint64_t value;
  size_t scores;
  uint64_t score[4];
  /* Objects in a picture. */
  size_t objects;
  struct {
    int label;
    uint64_t x, y, confidence;
  } object[6];
} answer_row;

typedef struct {
  const char *name;
  /* One value per field, sample after sample. */
  const double *samples;
  size_t count, fields;
  const answer_row *answers;
  size_t windows;
} bundle_row;

#include "answers.inc"

#define ROWS(table) (sizeof(table) / sizeof((table)[0]))

static uint8_t file[128 * 1024], text[128 * 1024], memory[512 * 1024];
static size_t file_bytes;

static bool load(const char *folder, const char *name, aiot_bundle *bundle, aiot_arena *arena) {
  char path[512];
  snprintf(path, sizeof(path), "%s/%s.aiot", folder, name);
  FILE *from = fopen(path, "rb");
  if (!from) return false;
  file_bytes = fread(file, 1, sizeof(file), from);
  fclose(from);
  aiot_arena_init(arena, memory, sizeof(memory));
  return aiot_bundle_open(bundle, file, file_bytes, arena) == AIOT_OK;
}

static bool same_bits(double value, uint64_t expected) {
  uint64_t bits;
  memcpy(&bits, &value, sizeof(bits));
  return bits == expected;
}

static void test_answers(checks *c, const bundle_row *r, const aiot_bundle *bundle, aiot_arena arena) {
  aiot_predictor *predictor;
  if (!check_equal(c, r->name, 0, AIOT_OK, aiot_predictor_open(bundle, &aiot_interpreter, &arena, &predictor))) return;
  printf("%s: %zu bytes of memory with its network\n", r->name, arena.used);
  /* The second run shows that a reset leaves no state. */
  for (int time = 0; time < 2; time++) {
    size_t windows = 0;
    for (size_t i = 0; i < r->count; i++) {
      aiot_answer got;
      if (!aiot_predictor_push(predictor, r->samples + i * r->fields, &got)) continue;
      if (windows == r->windows) break;
      const answer_row *expected = &r->answers[windows];
      check_equal(c, "window", windows, (int64_t)windows, got.window);
      check_equal(c, "label", windows, expected->label, got.label);
      check_equal(c, "voted", windows, expected->voted, got.voted);
      check_at(c, r->name, "value of window", windows, same_bits(got.value, expected->value));
      check_equal(c, "scores", windows, (int64_t)expected->scores, (int64_t)got.scores);
      for (size_t s = 0; s < expected->scores && s < 4; s++) {
        check_at(c, r->name, "score of window", windows, same_bits(got.score[s], expected->score[s]));
      }
      check_equal(c, "objects", windows, (int64_t)expected->objects, (int64_t)got.objects);
      for (size_t o = 0; o < expected->objects && o < got.objects; o++) {
        const aiot_object *object = &got.object[o];
        check_equal(c, "label of object", o, expected->object[o].label, object->label);
        check_at(c, r->name, "place of object", o,
                 same_bits(object->x, expected->object[o].x) && same_bits(object->y, expected->object[o].y) &&
                     same_bits(object->confidence, expected->object[o].confidence));
      }
      windows++;
    }
    check_equal(c, "windows", 0, (int64_t)r->windows, (int64_t)windows);
    aiot_predictor_reset(predictor);
  }
}

/* Runs the bundle's golden check with this text instead of its own. */
static aiot_code check_text(const aiot_bundle *bundle, size_t bytes, aiot_arena arena, size_t *vectors, size_t *passed) {
  aiot_bundle bent = *bundle;
  bent.golden = (aiot_span){text, bytes};
  return aiot_golden_check(&bent, &aiot_interpreter, arena, vectors, passed);
}

static bool within(const char *member, size_t at) {
  /* Checks whether the last key before `at` is `member`. */
  size_t from = at;
  while (from > 0 && !(text[from] == ':' && text[from - 1] == '"')) from--;
  const size_t length = strlen(member);
  return from > length + 1 && memcmp(text + from - 1 - length, member, length) == 0 && text[from - 2 - length] == '"';
}

/* Whether the number that contains this digit has a fraction. */
static bool fractional(size_t at) {
  while (at > 0 && text[at] != '[' && text[at] != ',' && text[at] != '.') at--;
  return text[at] == '.';
}

/* If one digit of an exact number, one letter of a label or one value is changed, that vector must fail, and no other. */
static void test_corrupted(checks *c, const bundle_row *r, const aiot_bundle *bundle, aiot_arena arena) {
  /* If the vectors are long, only some positions are tried, because each vector is computed from its samples. */
  const size_t bytes = bundle->golden.bytes, every = bytes > 12000 ? 5 : 1;
  /* The shares of boosting have a tolerance. */
  const bool exact = strcmp(bundle->name, "boosting") != 0;
  size_t vectors, passed, corrupted = 0, candidates = 0;
  memcpy(text, bundle->golden.data, bytes);
  check_equal(c, r->name, 1, AIOT_OK, check_text(bundle, bytes, arena, &vectors, &passed));
  const size_t all = vectors;
  check_at(c, r->name, "vectors", all, all > 1 && passed == all);
  for (size_t i = 1; i + 1 < bytes; i++) {
    const uint8_t was = text[i];
    const bool digit = was >= '0' && was <= '9', last = text[i + 1] == ',' || text[i + 1] == ']' || text[i + 1] == '}';
    /* Last digits of a fraction may round to the same number. */
    const bool counts = text[i - 1] == '.' || (last && !fractional(i));
    if (digit && counts && (within("input", i) || (exact && within("output", i)))) text[i] = (uint8_t)('0' + (was - '0' + 1) % 10);
    else if (text[i - 1] == ':' && digit && was != '9' && within("value", i)) text[i] = '9';
    else if (text[i - 1] == '"' && text[i - 2] == ':' && within("label", i)) text[i] = (uint8_t)(was ^ 1u);
    else continue;
    if (candidates++ % every != 0) {
      text[i] = was;
      continue;
    }
    corrupted++;
    check_equal(c, "corrupted", i, AIOT_GOLDEN_MISMATCH, check_text(bundle, bytes, arena, &vectors, &passed));
    check_equal(c, "passed", i, (int64_t)all - 1, (int64_t)passed);
    text[i] = was;
  }
  printf("%s: %zu vectors, %zu corruptions refused\n", r->name, all, corrupted);
  check_at(c, r->name, "corruptions", corrupted, corrupted > all);
}

/* With one sample more or less, the vector no longer completes exactly one window. */
static void test_samples(checks *c, const aiot_bundle *bundle, aiot_arena arena) {
  size_t vectors, passed;
  const char *head = (const char *)bundle->golden.data;
  const char *samples = NULL;
  for (size_t i = 0; i + 12 < bundle->golden.bytes && !samples; i++) {
    if (memcmp(head + i, "\"samples\":[[", 12) == 0) samples = head + i + 11;
  }
  if (!samples) return;
  const size_t before = (size_t)(samples - head), rest = bundle->golden.bytes - before;
  const size_t one = (size_t)((const char *)memchr(samples, ']', rest) - samples) + 2;
  /* A sample is doubled or removed. If the window has one sample, removing it leaves none. */
  memcpy(text, head, before + one);
  memcpy(text + before + one, samples, rest);
  check_equal(c, "one additional sample", 0, AIOT_GOLDEN_MISMATCH, check_text(bundle, bundle->golden.bytes + one, arena, &vectors, &passed));
  check_equal(c, "passed with one additional sample", 0, (int64_t)vectors - 1, (int64_t)passed);
  memcpy(text + before, samples + one, rest - one);
  check_equal(c, "one sample less", 0, AIOT_GOLDEN_MISMATCH, check_text(bundle, bundle->golden.bytes - one, arena, &vectors, &passed));
  check_equal(c, "passed with one sample less", 0, (int64_t)vectors - 1, (int64_t)passed);
  const aiot_code wide = (memcpy(text, head, before + 1), memcpy(text + before + 1, "0,", 2),
                          memcpy(text + before + 3, samples + 1, rest - 1), check_text(bundle, bundle->golden.bytes + 2, arena, &vectors, &passed));
  check_equal(c, "a sample with an additional field", 0, AIOT_BUNDLE_MALFORMED, wide);
}

/*
 * Truncated texts and texts with flipped bits are rejected or, if the byte makes no difference, pass. They are never read beyond
 * their end.
 */
static void test_malformed(checks *c, const bundle_row *r, const aiot_bundle *bundle, aiot_arena arena) {
  const size_t bytes = bundle->golden.bytes, step = bytes > 12000 ? 1009 : bytes / 200 + 1;
  size_t vectors, passed;
  for (size_t cut = 0; cut < bytes; cut += step) {
    memcpy(text, bundle->golden.data, cut);
    check_equal(c, "cut", cut, AIOT_BUNDLE_MALFORMED, check_text(bundle, cut, arena, &vectors, &passed));
  }
  memcpy(text, bundle->golden.data, bytes);
  for (size_t i = 0; i < bytes; i += step) {
    for (unsigned bit = 0; bit < 8; bit += 3) {
      text[i] = (uint8_t)(text[i] ^ (1u << bit));
      const aiot_code code = check_text(bundle, bytes, arena, &vectors, &passed);
      check_at(c, r->name, "flipped", i, code == AIOT_OK || code == AIOT_GOLDEN_MISMATCH || code == AIOT_BUNDLE_MALFORMED);
      text[i] = (uint8_t)(text[i] ^ (1u << bit));
    }
  }
  memcpy(text, "[]", 2);
  check_equal(c, "no vectors", 0, AIOT_GOLDEN_MISMATCH, check_text(bundle, 2, arena, &vectors, &passed));
  check_equal(c, "no vectors", 1, 0, (int64_t)vectors);
  memcpy(text, "[{}]", 4);
  check_equal(c, "an empty vector", 0, AIOT_BUNDLE_MALFORMED, check_text(bundle, 4, arena, &vectors, &passed));
}

static void test_misfits(checks *c, const bundle_row *r, const aiot_bundle *bundle, aiot_arena arena) {
  aiot_bundle bent[5] = {*bundle, *bundle, *bundle, *bundle, *bundle};
  bent[0].standardization.count--;
  bent[1].standardization.zero_point++;
  bent[2].standardization.scale *= 2;
  bent[3].answer = bundle->answer == AIOT_ANSWER_PROBABILITY ? AIOT_ANSWER_CLASSES : AIOT_ANSWER_PROBABILITY;
  bent[4].signal.set = "raw";
  /* Here, raw samples are as many as the features. */
  const bool picture = bundle->signal.set != NULL && strcmp(bundle->signal.set, "image") == 0;
  const bool raw = bundle->signal.set != NULL && strcmp(bundle->signal.set, "raw") == 0;
  if (raw || picture) bent[4].signal.set = "spectral";
  for (size_t i = 0; i < ROWS(bent); i++) {
    aiot_arena own = arena;
    aiot_predictor *predictor;
    check_equal(c, r->name, i, AIOT_BUNDLE_MALFORMED, aiot_predictor_open(&bent[i], &aiot_interpreter, &own, &predictor));
    check_at(c, r->name, "no predictor", i, predictor == NULL);
  }
  aiot_arena all = arena;
  aiot_predictor *predictor;
  aiot_predictor_open(bundle, &aiot_interpreter, &all, &predictor);
  for (size_t part = 0; part < 8; part++) {
    aiot_arena own = arena;
    own.bytes = arena.used + (all.used - arena.used) * part / 8;
    check_equal(c, "short memory", part, AIOT_MEMORY_SHORT, aiot_predictor_open(bundle, &aiot_interpreter, &own, &predictor));
  }
}

#ifdef AIOT_FIXTURES
static const bool whole = false;
#else
#define AIOT_FIXTURES argc > 1 ? argv[1] : "."
static const bool whole = true;
#endif

static void test_golden(checks *c, const bundle_row *r, const aiot_bundle *bundle, aiot_arena arena) {
  size_t vectors, passed;
  check_equal(c, r->name, 0, AIOT_OK, aiot_golden_check(bundle, &aiot_interpreter, arena, &vectors, &passed));
  printf("%s: %zu of %zu vectors passed\n", r->name, passed, vectors);
  /* Runs the same golden vectors one at a time; the counts must be right after each. */
  aiot_golden *golden = NULL;
  if (!check_equal(c, r->name, 1, AIOT_OK, aiot_golden_open(bundle, &aiot_interpreter, &arena, &golden))) return;
  size_t steps = 0, ran = 0, good = 0;
  aiot_code code;
  while (aiot_golden_next(golden, &code)) {
    aiot_golden_counts(golden, &ran, &good);
    steps++;
    check_equal(c, "vectors after each step", steps, (int64_t)steps, (int64_t)ran);
  }
  check_at(c, "one by one", r->name, steps, code == AIOT_OK && ran == vectors && good == passed);
}

int main(int argc, char **argv) {
  (void)argc;
  (void)argv;
  checks c = {0, 0};
  for (size_t i = 0; i < ROWS(bundle_rows); i++) {
    const bundle_row *r = &bundle_rows[i];
    static aiot_bundle bundle;
    aiot_arena arena;
    if (!check_at(&c, "bundle", r->name, i, load(AIOT_FIXTURES, r->name, &bundle, &arena))) continue;
    test_answers(&c, r, &bundle, arena);
    test_golden(&c, r, &bundle, arena);
    if (!whole) continue;
    test_corrupted(&c, r, &bundle, arena);
    test_samples(&c, &bundle, arena);
    test_malformed(&c, r, &bundle, arena);
    test_misfits(&c, r, &bundle, arena);
  }
  return checks_end(&c);
}

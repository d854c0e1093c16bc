/* Runs golden.json with the checks of src/lib/model/bundle/golden.ts. Members may be in any order. */
#include <math.h>
#include <string.h>

#include "aiot/json.h"
#include "runner.h"

/* The members of one vector, as raw text. */
typedef struct {
  aiot_span samples;
  aiot_span features;
  aiot_span input;
  aiot_span output;
  aiot_span answer;
} vector;

typedef struct {
  aiot_runner runner;
  /* Features of a vector that has no samples. */
  float *given;
} checker;

struct aiot_golden {
  checker checker;
  /* Position after the last vector that was run. */
  aiot_json json;
  size_t vectors;
  size_t passed;
};

/* Result of a vector. MALFORMED takes precedence. */
typedef enum { SAME, DIFFERENT, MALFORMED } outcome;

/*
 * Relative tolerance of a prediction's value, and of probabilities after boosting. Must equal floatTolerance in
 * src/lib/model/bundle/golden.ts.
 */
static const double tolerance = 1e-4;

static aiot_json reader_of(aiot_span span) {
  aiot_json json;
  aiot_json_begin(&json, span.data, span.bytes);
  return json;
}

static aiot_span next_value(aiot_json *json) {
  size_t bytes = 0;
  const char *text = aiot_json_value(json, &bytes);
  return (aiot_span){(const uint8_t *)text, bytes};
}

/* Reads a vector. False if the text is not a vector. */
static bool read_vector(aiot_json *json, vector *out) {
  *out = (vector){{NULL, 0}, {NULL, 0}, {NULL, 0}, {NULL, 0}, {NULL, 0}};
  aiot_json_enter(json, '{');
  while (aiot_json_key(json)) {
    if (aiot_json_is(json, "samples")) out->samples = next_value(json);
    else if (aiot_json_is(json, "features")) out->features = next_value(json);
    else if (aiot_json_is(json, "input")) out->input = next_value(json);
    else if (aiot_json_is(json, "output")) out->output = next_value(json);
    else if (aiot_json_is(json, "answer")) out->answer = next_value(json);
    else aiot_json_skip(json);
  }
  return !json->failed && out->samples.data && out->features.data && out->input.data && out->output.data && out->answer.data;
}

/* Reads an array of exactly this many numbers; `out` may be NULL. */
static bool read_numbers(aiot_span span, size_t count, float *out) {
  aiot_json json = reader_of(span);
  size_t at = 0;
  aiot_json_enter(&json, '[');
  for (; aiot_json_element(&json); at++) {
    const double value = aiot_json_number(&json);
    if (out && at < count) out[at] = (float)value;
  }
  return aiot_json_done(&json) && at == count;
}

/* Compares numbers exactly if `slack` is 0. */
static outcome compare(aiot_span span, const aiot_runner *runner, double (*got)(const aiot_runner *, size_t), size_t count,
                       double slack) {
  aiot_json json = reader_of(span);
  outcome result = SAME;
  size_t at = 0;
  aiot_json_enter(&json, '[');
  for (; aiot_json_element(&json); at++) {
    const double expected = aiot_json_number(&json);
    if (at < count && !(fabs(got(runner, at) - expected) <= slack * fmax(1, fabs(expected)))) result = DIFFERENT;
  }
  return aiot_json_done(&json) && at == count ? result : MALFORMED;
}

/* Runs the samples from a reset pipeline. The last sample must complete exactly one window; otherwise `features` is NULL. */
static outcome run_samples(const checker *c, aiot_span span, const float **features, size_t *samples) {
  const size_t fields = c->runner.bundle->signal.fields;
  aiot_features_reset(c->runner.features);
  aiot_json json = reader_of(span);
  bool early = false;
  *features = NULL;
  *samples = 0;
  aiot_json_enter(&json, '[');
  for (; aiot_json_element(&json); (*samples)++) {
    double sample[AIOT_FIELDS_MAX];
    size_t at = 0;
    aiot_json_enter(&json, '[');
    for (; aiot_json_element(&json); at++) {
      const double value = aiot_json_number(&json);
      if (at < fields) sample[at] = value;
    }
    if (json.failed || at != fields) return MALFORMED;
    early = early || *features;
    *features = aiot_features_push(c->runner.features, sample);
  }
  if (early) *features = NULL;
  return aiot_json_done(&json) ? SAME : MALFORMED;
}

static outcome compare_answer(const checker *c, aiot_span span, const aiot_answer *got) {
  aiot_json json = reader_of(span);
  char label[AIOT_NAME_BYTES] = "";
  bool labelled = false;
  double value = 0;
  aiot_json_enter(&json, '{');
  while (aiot_json_key(&json)) {
    if (aiot_json_is(&json, "label")) {
      labelled = !aiot_json_null(&json);
      if (labelled) aiot_json_string(&json, label, sizeof(label));
    } else if (aiot_json_is(&json, "value")) {
      if (!aiot_json_null(&json)) value = aiot_json_number(&json);
    } else {
      aiot_json_skip(&json);
    }
  }
  if (!aiot_json_done(&json)) return MALFORMED;
  if (labelled != (got->label >= 0)) return DIFFERENT;
  if (labelled && strcmp(label, aiot_bundle_label(c->runner.bundle, got->label)) != 0) return DIFFERENT;
  return fabs(got->value - value) <= tolerance * fmax(1, fabs(value)) ? SAME : DIFFERENT;
}

static outcome check(const checker *c, const vector *v) {
  const aiot_runner *r = &c->runner;
  const float *features;
  size_t samples;
  outcome worst = run_samples(c, v->samples, &features, &samples);
  if (worst == MALFORMED || !read_numbers(v->features, r->inputs, samples == 0 ? c->given : NULL)) return MALFORMED;
  if (samples == 0) features = c->given;
  if (!features) return DIFFERENT;
  aiot_answer answer;
  /* Each vector is the first window of a recording. */
  aiot_runner_reset(r);
  aiot_runner_answer(r, features, &answer);
  /* Only the exponential after boosting depends on the C library. */
  const double slack = r->trees && r->forest.ending != AIOT_ENDING_NONE ? tolerance : 0;
  const outcome parts[] = {compare(v->input, r, aiot_runner_input, r->inputs, 0),
                           compare(v->output, r, aiot_runner_output, r->outputs + r->extra, slack),
                           compare_answer(c, v->answer, &answer)};
  for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
    if (parts[i] > worst) worst = parts[i];
  }
  return worst;
}

aiot_code aiot_golden_open(const aiot_bundle *bundle, const aiot_inference *inference, aiot_arena *arena, aiot_golden **out) {
  aiot_golden *golden = aiot_arena_take(arena, sizeof *golden, _Alignof(aiot_golden));
  if (!golden) return AIOT_MEMORY_SHORT;
  *golden = (aiot_golden){0};
  const aiot_code code = aiot_runner_open(&golden->checker.runner, bundle, inference, arena);
  if (code != AIOT_OK) return code;
  golden->checker.given = aiot_arena_take(arena, golden->checker.runner.inputs * sizeof(float), _Alignof(float));
  if (!golden->checker.given) return AIOT_MEMORY_SHORT;
  golden->json = reader_of(bundle->golden);
  aiot_json_enter(&golden->json, '[');
  *out = golden;
  return AIOT_OK;
}

bool aiot_golden_next(aiot_golden *golden, aiot_code *code) {
  *code = AIOT_BUNDLE_MALFORMED;
  if (aiot_json_element(&golden->json)) {
    vector v;
    if (!read_vector(&golden->json, &v)) return false;
    const outcome result = check(&golden->checker, &v);
    if (result == MALFORMED) return false;
    golden->vectors++;
    if (result == SAME) golden->passed++;
    return true;
  }
  if (!aiot_json_done(&golden->json)) return false;
  *code = golden->vectors > 0 && golden->passed == golden->vectors ? AIOT_OK : AIOT_GOLDEN_MISMATCH;
  return false;
}

void aiot_golden_counts(const aiot_golden *golden, size_t *vectors, size_t *passed) {
  *vectors = golden->vectors;
  *passed = golden->passed;
}

aiot_code aiot_golden_check(const aiot_bundle *bundle, const aiot_inference *inference, aiot_arena arena, size_t *vectors, size_t *passed) {
  *vectors = 0;
  *passed = 0;
  aiot_golden *golden;
  aiot_code code = aiot_golden_open(bundle, inference, &arena, &golden);
  if (code != AIOT_OK) return code;
  while (aiot_golden_next(golden, &code)) aiot_golden_counts(golden, vectors, passed);
  return code;
}

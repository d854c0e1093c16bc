#include "aiot/bundle.h"

#include <math.h>
#include <string.h>

#include "aiot/json.h"
#include "archive.h"

/* State of parsing bundle.json, in addition to the bundle itself. */
typedef struct {
  aiot_bundle *bundle;
  aiot_arena *arena;
  /* The first unsupported feature or lack of memory that was found. Errors in the text take precedence over it. */
  aiot_code unable;
  /* Bits of `seen_*` for the members that were present. All required ones must be. */
  unsigned seen;
  size_t deviations;
  size_t inputs;
  size_t outputs;
  /* Number of elements of `value`. */
  size_t values;
  /* Numbers of elements of the rejection's arrays. */
  size_t minima;
  size_t radii;
  size_t centers;
  size_t weights;
  size_t costs;
} reading;

enum {
  SEEN_SPEC = 1,
  SEEN_KIND = 2,
  SEEN_NAME = 4,
  SEEN_SIGNAL = 8,
  SEEN_STANDARDIZATION = 16,
  SEEN_CLASSES = 32,
  SEEN_ANSWER = 64,
  SEEN_VOTE = 128,
  SEEN_INPUT = 256,
  SEEN_OUTPUT = 512,
  SEEN_ALL = 1023
};

static void unable(reading *r, aiot_code code) {
  if (r->unable == AIOT_OK) r->unable = code;
}

static void *take(reading *r, size_t bytes, size_t alignment) {
  void *memory = aiot_arena_take(r->arena, bytes, alignment);
  if (memory == NULL) unable(r, AIOT_MEMORY_SHORT);
  return memory;
}

/* Number of elements in the next array, which is not consumed. */
static size_t count_elements(const aiot_json *json) {
  aiot_json ahead = *json;
  size_t count = 0;
  aiot_json_enter(&ahead, '[');
  for (; aiot_json_element(&ahead); count++) aiot_json_skip(&ahead);
  return ahead.failed ? 0 : count;
}

static const double *read_numbers(reading *r, aiot_json *json, size_t *count) {
  *count = count_elements(json);
  double *numbers = *count > SIZE_MAX / sizeof(double) ? NULL : take(r, *count * sizeof(double), _Alignof(double));
  size_t at = 0;
  aiot_json_enter(json, '[');
  for (; aiot_json_element(json); at++) {
    const double number = aiot_json_number(json);
    if (numbers != NULL) numbers[at] = number;
  }
  return numbers;
}

/* Reads names of at most 64 bytes into `out`; returns their number. */
static size_t read_names(reading *r, aiot_json *json, char (*out)[AIOT_NAME_BYTES], size_t room) {
  size_t count = 0;
  aiot_json_enter(json, '[');
  for (; aiot_json_element(json); count++) {
    if (count < room) {
      aiot_json_string(json, out[count], AIOT_NAME_BYTES);
    } else {
      unable(r, AIOT_MODEL_UNSUPPORTED);
      aiot_json_skip(json);
    }
  }
  return count;
}

static void read_feature_names(reading *r, aiot_json *json) {
  aiot_signal_spec *signal = &r->bundle->signal;
  signal->set = NULL;
  signal->features = count_elements(json);
  const char **names = take(r, signal->features * sizeof(char *), _Alignof(char *));
  size_t at = 0;
  aiot_json_enter(json, '[');
  for (; aiot_json_element(json); at++) {
    size_t bytes = 0;
    const char *text = aiot_json_raw(json, &bytes);
    char *name = names == NULL ? NULL : take(r, bytes + 1, 1);
    if (name == NULL) continue;
    memcpy(name, text, bytes);
    names[at] = name;
  }
  signal->feature = names;
}

static void read_feature_set(reading *r, aiot_json *json) {
  static const char *const sets[] = {"raw", "motion", "har", "spectral", "logmel", "mfcc", "microfrontend", "image"};
  char name[AIOT_NAME_BYTES];
  aiot_signal_spec *signal = &r->bundle->signal;
  signal->set = NULL;
  signal->features = 0;
  signal->feature = NULL;
  aiot_json_string(json, name, sizeof name);
  for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++)
    if (strcmp(name, sets[i]) == 0) signal->set = sets[i];
  if (signal->set == NULL) json->failed = true;
}

static double read_positive(aiot_json *json) {
  const double value = aiot_json_number(json);
  if (!(value > 0)) json->failed = true;
  return value;
}

/* Reads an integer from 1 to INT32_MAX. */
static size_t read_count(aiot_json *json) {
  const int64_t value = aiot_json_integer(json);
  if (value < 1 || value > INT32_MAX) json->failed = true;
  return json->failed ? 0 : (size_t)value;
}

static void read_mel(aiot_mel_spec *mel, aiot_json *json) {
  unsigned seen = 0;
  char state[8] = "";
  aiot_json_enter(json, '{');
  while (aiot_json_key(json)) {
    if (aiot_json_is(json, "frameSamples")) {
      mel->frame = read_count(json);
      seen |= 1;
    } else if (aiot_json_is(json, "hopSamples")) {
      mel->hop = read_count(json);
      seen |= 2;
    } else if (aiot_json_is(json, "fftSamples")) {
      mel->fft = read_count(json);
      seen |= 4;
    } else if (aiot_json_is(json, "bands")) {
      mel->bands = read_count(json);
      seen |= 8;
    } else if (aiot_json_is(json, "lowHz")) {
      mel->low_hz = aiot_json_number(json);
      seen |= 16;
    } else if (aiot_json_is(json, "highHz")) {
      mel->high_hz = read_positive(json);
      seen |= 32;
    } else if (aiot_json_is(json, "coefficients")) {
      mel->coefficients = aiot_json_null(json) ? 0 : read_count(json);
      seen |= 64;
    } else if (aiot_json_is(json, "state")) {
      aiot_json_string(json, state, sizeof state);
      mel->stream = strcmp(state, "stream") == 0;
      if (!mel->stream) json->failed = true;
    } else {
      aiot_json_skip(json);
    }
  }
  /* A stream has no coefficients, so that readers that do not know the state reject the bundle. */
  if (seen != (mel->stream ? 63u : 127u)) json->failed = true;
}

static void read_image(aiot_image_spec *image, aiot_json *json) {
  static const char *const fits[] = {"crop", "stretch", "pad"};
  char fit[16] = "";
  aiot_json_enter(json, '{');
  while (aiot_json_key(json)) {
    if (aiot_json_is(json, "width")) image->width = read_count(json);
    else if (aiot_json_is(json, "height")) image->height = read_count(json);
    else if (aiot_json_is(json, "fit")) aiot_json_string(json, fit, sizeof fit);
    else aiot_json_skip(json);
  }
  size_t found = 0;
  while (found < 3 && strcmp(fit, fits[found]) != 0) found++;
  if (found == 3 || image->width == 0 || image->height == 0) json->failed = true;
  image->fit = (aiot_fit)found;
}

static void read_signal(reading *r, aiot_json *json) {
  aiot_signal_spec *signal = &r->bundle->signal;
  unsigned seen = 0;
  aiot_json_enter(json, '{');
  while (aiot_json_key(json)) {
    if (aiot_json_is(json, "fields")) {
      signal->fields = read_names(r, json, signal->field, AIOT_FIELDS_MAX);
      seen |= 1;
    } else if (aiot_json_is(json, "rateHz")) {
      signal->rate_hz = read_positive(json);
      seen |= 2;
    } else if (aiot_json_is(json, "lowpassHz")) {
      signal->lowpass_hz = aiot_json_null(json) ? 0 : read_positive(json);
      seen |= 4;
    } else if (aiot_json_is(json, "resampleHz")) {
      signal->resample_hz = read_positive(json);
      seen |= 8;
    } else if (aiot_json_is(json, "windowSamples")) {
      signal->window_samples = read_count(json);
      seen |= 16;
    } else if (aiot_json_is(json, "strideSamples")) {
      signal->stride_samples = read_count(json);
      seen |= 32;
    } else if (aiot_json_is(json, "features")) {
      if (aiot_json_peek(json) == '[') read_feature_names(r, json);
      else read_feature_set(r, json);
      seen |= 64;
    } else if (aiot_json_is(json, "mel")) {
      read_mel(&signal->mel, json);
    } else if (aiot_json_is(json, "image")) {
      read_image(&signal->image, json);
    } else {
      aiot_json_skip(json);
    }
  }
  if (seen != 127 || signal->fields == 0) json->failed = true;
}

static void read_standardization(reading *r, aiot_json *json) {
  aiot_input_spec *spec = &r->bundle->standardization;
  aiot_json_enter(json, '{');
  while (aiot_json_key(json)) {
    if (aiot_json_is(json, "mean")) spec->mean = read_numbers(r, json, &spec->distinct);
    else if (aiot_json_is(json, "deviation")) spec->deviation = read_numbers(r, json, &r->deviations);
    else aiot_json_skip(json);
  }
  for (size_t i = 0; spec->deviation != NULL && i < r->deviations; i++)
    if (!(spec->deviation[i] > 0)) json->failed = true;
}

static void read_reject(reading *r, aiot_json *json) {
  aiot_reject_spec *reject = &r->bundle->reject;
  unsigned seen = 0;
  aiot_json_enter(json, '{');
  while (aiot_json_key(json)) {
    if (aiot_json_is(json, "label")) {
      aiot_json_string(json, reject->label, sizeof reject->label);
      seen |= 1;
    } else if (aiot_json_is(json, "minimum")) {
      reject->minimum = read_numbers(r, json, &r->minima);
      seen |= 2;
    } else if (aiot_json_is(json, "radius")) {
      reject->radius = read_numbers(r, json, &r->radii);
      seen |= 4;
    } else if (aiot_json_is(json, "center")) {
      reject->center = read_numbers(r, json, &r->centers);
      seen |= 8;
    } else if (aiot_json_is(json, "weight")) {
      reject->weight = read_numbers(r, json, &r->weights);
      seen |= 16;
    } else {
      aiot_json_skip(json);
    }
  }
  if (seen != 31 || reject->label[0] == '\0') json->failed = true;
  if (r->radii == 0) reject->radius = NULL;
}

/* Reads an array of two positive integers. */
static void read_pair(aiot_json *json, size_t *first, size_t *second) {
  size_t count = 0;
  aiot_json_enter(json, '[');
  for (; aiot_json_element(json); count++) *(count == 0 ? first : second) = read_count(json);
  if (count != 2) json->failed = true;
}

static void read_picture(aiot_object_spec *objects, aiot_json *json) {
  aiot_json_enter(json, '{');
  while (aiot_json_key(json)) {
    if (aiot_json_is(json, "width")) objects->width = read_count(json);
    else if (aiot_json_is(json, "height")) objects->height = read_count(json);
    else aiot_json_skip(json);
  }
}

static void read_answer(reading *r, aiot_json *json) {
  static const char *const kinds[] = {"classes", "probability", "value", "reconstruction", "objects"};
  aiot_object_spec *objects = &r->bundle->objects;
  char kind[16] = "";
  bool threshold = false;
  r->bundle->threshold = 0;
  r->values = 0;
  aiot_json_enter(json, '{');
  while (aiot_json_key(json)) {
    if (aiot_json_is(json, "kind")) {
      aiot_json_string(json, kind, sizeof kind);
    } else if (aiot_json_is(json, "threshold")) {
      r->bundle->threshold = aiot_json_number(json);
      threshold = true;
    } else if (aiot_json_is(json, "names")) {
      r->values = count_elements(json);
      aiot_json_skip(json);
    } else if (aiot_json_is(json, "reject")) {
      read_reject(r, json);
    } else if (aiot_json_is(json, "costs")) {
      r->bundle->costs = read_numbers(r, json, &r->costs);
    } else if (aiot_json_is(json, "grid")) {
      read_pair(json, &objects->rows, &objects->columns);
    } else if (aiot_json_is(json, "picture")) {
      read_picture(objects, json);
    } else {
      aiot_json_skip(json);
    }
  }
  size_t found = 0;
  while (found < 5 && strcmp(kind, kinds[found]) != 0) found++;
  r->bundle->answer = (aiot_answer_kind)found;
  const bool wanted = found == AIOT_ANSWER_PROBABILITY || found == AIOT_ANSWER_RECONSTRUCTION || found == AIOT_ANSWER_OBJECTS;
  if (found != AIOT_ANSWER_CLASSES) {
    r->bundle->reject = (aiot_reject_spec){0};
    r->bundle->costs = NULL;
  }
  if (found != AIOT_ANSWER_OBJECTS) *objects = (aiot_object_spec){0};
  if (found == 5 || (wanted && !threshold) || (found == AIOT_ANSWER_VALUE && r->values == 0)) json->failed = true;
}

/* Reads N from 1 to 99, or returns 0. */
static size_t read_windows(const char *digits, size_t count) {
  if (count < 1 || count > 2 || digits[0] < '1' || digits[0] > '9') return 0;
  if (count == 1) return (size_t)(digits[0] - '0');
  return digits[1] < '0' || digits[1] > '9' ? 0 : (size_t)(10 * (digits[0] - '0') + digits[1] - '0');
}

/* Reads the smoothing: `none`, `majority:N` or `average:N`, with N from 1 to 99. */
static void read_vote(aiot_bundle *bundle, aiot_json *json) {
  static const char *const kinds[] = {"majority:", "average:"};
  char text[16];
  const size_t bytes = aiot_json_string(json, text, sizeof text);
  bundle->vote = strcmp(text, "none") == 0;
  bundle->average = false;
  for (size_t i = 0; i < 2; i++) {
    const size_t head = strlen(kinds[i]);
    if (bytes <= head || memcmp(text, kinds[i], head) != 0) continue;
    bundle->vote = read_windows(text + head, bytes - head);
    bundle->average = i == 1;
  }
  if (bundle->vote == 0) json->failed = true;
}

/* Reads the model's input or output: its number of values, scale, zero point and type. */
static size_t read_end(reading *r, aiot_json *json, double *scale, int32_t *zero_point, int32_t *kind) {
  static const struct {
    const char *name;
    int32_t kind;
  } kinds[] = {{"int8", AIOT_INT8}, {"int16", AIOT_INT16}, {"float32", AIOT_FLOAT32}};
  char type[16] = "";
  size_t count = 0;
  aiot_json_enter(json, '{');
  while (aiot_json_key(json)) {
    if (aiot_json_is(json, "type")) {
      aiot_json_string(json, type, sizeof type);
    } else if (aiot_json_is(json, "scale")) {
      *scale = read_positive(json);
    } else if (aiot_json_is(json, "zeroPoint")) {
      const int64_t zero = aiot_json_integer(json);
      if (zero < INT32_MIN || zero > INT32_MAX) json->failed = true;
      else *zero_point = (int32_t)zero;
    } else if (aiot_json_is(json, "shape")) {
      aiot_json_enter(json, '[');
      for (count = 1; aiot_json_element(json);) {
        const size_t dimension = read_count(json);
        if (dimension != 0 && count > INT32_MAX / dimension) json->failed = true;
        if (!json->failed) count *= dimension;
      }
    } else {
      aiot_json_skip(json);
    }
  }
  size_t found = 0;
  while (found < 3 && strcmp(type, kinds[found].name) != 0) found++;
  if (found == 3) unable(r, AIOT_MODEL_UNSUPPORTED);
  else *kind = kinds[found].kind;
  if (count == 0 || !(*scale > 0)) json->failed = true;
  return count;
}

static void read_extra(reading *r, aiot_json *json) {
  aiot_bundle *b = r->bundle;
  const size_t count = count_elements(json);
  const size_t room = count < AIOT_EXTRA_MAX ? count : AIOT_EXTRA_MAX;
  b->extra = take(r, room * sizeof *b->extra, _Alignof(aiot_extra));
  aiot_json_enter(json, '[');
  for (b->extras = 0; aiot_json_element(json); b->extras++) {
    const bool stored = b->extra != NULL && b->extras < room;
    size_t values = 0;
    aiot_json_enter(json, '{');
    while (aiot_json_key(json)) {
      if (stored && aiot_json_is(json, "name")) aiot_json_string(json, b->extra[b->extras].name, AIOT_NAME_BYTES);
      else if (aiot_json_is(json, "count")) values = read_count(json);
      else aiot_json_skip(json);
    }
    if (stored) b->extra[b->extras].count = values;
    if (values == 0) json->failed = true;
  }
  if (b->extras > AIOT_EXTRA_MAX) unable(r, AIOT_MODEL_UNSUPPORTED);
  // A bundle with more outputs, or without memory for them, is not opened.
  if (!(b->extra != NULL && b->extras <= room)) b->extras = 0;
}

static void read_member(reading *r, aiot_json *json) {
  aiot_bundle *b = r->bundle;
  char text[16];
  double scale = 0;
  int32_t zero_point = 0;
  if (aiot_json_is(json, "spec")) {
    aiot_json_string(json, text, sizeof text);
    if (strcmp(text, "aiot-bundle/2") != 0) json->failed = true;
    r->seen |= SEEN_SPEC;
  } else if (aiot_json_is(json, "kind")) {
    aiot_json_string(json, text, sizeof text);
    /* Bundles of any other kind contain only a network, without a signal part. */
    if (strcmp(text, "model") != 0) unable(r, AIOT_MODEL_UNSUPPORTED);
    r->seen |= SEEN_KIND;
  } else if (aiot_json_is(json, "name")) {
    aiot_json_string(json, b->name, sizeof b->name);
    r->seen |= SEEN_NAME;
  } else if (aiot_json_is(json, "signal")) {
    read_signal(r, json);
    r->seen |= SEEN_SIGNAL;
  } else if (aiot_json_is(json, "standardization")) {
    read_standardization(r, json);
    r->seen |= SEEN_STANDARDIZATION;
  } else if (aiot_json_is(json, "classes")) {
    b->classes = read_names(r, json, b->class_name, AIOT_CLASSES_MAX);
    r->seen |= SEEN_CLASSES;
  } else if (aiot_json_is(json, "answer")) {
    read_answer(r, json);
    r->seen |= SEEN_ANSWER;
  } else if (aiot_json_is(json, "vote")) {
    read_vote(b, json);
    r->seen |= SEEN_VOTE;
  } else if (aiot_json_is(json, "state")) {
    aiot_json_string(json, text, sizeof text);
    b->window_state = strcmp(text, "window") == 0;
    if (!b->window_state) json->failed = true;
  } else if (aiot_json_is(json, "input")) {
    r->inputs = read_end(r, json, &b->standardization.scale, &b->standardization.zero_point, &b->input_type);
    r->seen |= SEEN_INPUT;
  } else if (aiot_json_is(json, "output")) {
    r->outputs = read_end(r, json, &scale, &zero_point, &b->output_type);
    r->seen |= SEEN_OUTPUT;
  } else if (aiot_json_is(json, "extra")) {
    read_extra(r, json);
  } else {
    aiot_json_skip(json);
  }
}

/* Whether the rejection, if there is one, has thresholds for all classes and a label of its own. */
static bool fits_rejection(const reading *r) {
  const aiot_bundle *b = r->bundle;
  if (b->reject.label[0] == '\0') return true;
  for (size_t c = 0; c < b->classes; c++)
    if (strcmp(b->class_name[c], b->reject.label) == 0) return false;
  if (r->minima != b->classes) return false;
  if (r->radii + r->centers + r->weights == 0) return true;
  return r->radii == b->classes && r->centers == b->classes * r->inputs && r->weights == r->inputs;
}

/* Number of inputs after which means and deviations may repeat: channels of a picture, fields of raw samples, or values of a frame of sound. 0 = never. */
static size_t group_of(const aiot_signal_spec *signal) {
  if (signal->set != NULL && (strcmp(signal->set, "image") == 0 || strcmp(signal->set, "raw") == 0)) return signal->fields;
  return signal->mel.coefficients > 0 ? signal->mel.coefficients : signal->mel.bands;
}

/*
 * Whether there are means and deviations for all inputs: one pair per input, or the pairs of one repeated group. Completes the
 * standardization.
 */
static bool standardizes(reading *r) {
  aiot_bundle *b = r->bundle;
  aiot_input_spec *spec = &b->standardization;
  spec->count = r->inputs;
  if (spec->distinct == 0 || r->deviations != spec->distinct) return false;
  return spec->distinct == r->inputs || (spec->distinct == group_of(&b->signal) && r->inputs % spec->distinct == 0);
}

/* Whether the window of a model for pictures has a sample per pixel. */
static bool fits_picture(const aiot_signal_spec *signal) {
  if (signal->set == NULL || strcmp(signal->set, "image") != 0) return true;
  const size_t width = signal->image.width;
  return width != 0 && signal->window_samples % width == 0 && signal->window_samples / width == signal->image.height;
}

/* Whether a model's grid covers its picture with cells of 8 * 8 pixels, and its outputs are the cells' class probabilities. */
static bool fits_grid(const reading *r) {
  const aiot_object_spec *o = &r->bundle->objects;
  const aiot_image_spec *image = &r->bundle->signal.image;
  if (!(r->bundle->threshold > 0 && r->bundle->threshold <= 1)) return false;
  if (r->bundle->classes == 0 || o->width == 0 || o->width != image->width || o->height != image->height) return false;
  if (o->rows != (o->height + 7) / 8 || o->columns != (o->width + 7) / 8) return false;
  const size_t channels = 1 + r->bundle->classes;
  return r->outputs % channels == 0 && r->outputs / channels / o->columns == o->rows && r->outputs / channels % o->columns == 0;
}

/* Whether the parts are consistent, as in src/lib/model/bundle/pack.ts. */
static bool fits(reading *r) {
  const aiot_bundle *b = r->bundle;
  const size_t extra = aiot_bundle_extra_values(b);
  if (b->extras > 0 && (b->output_type != AIOT_FLOAT32 || extra >= r->outputs)) return false;
  r->outputs -= extra;
  if (r->seen != SEEN_ALL || !standardizes(r) || !fits_picture(&b->signal)) return false;
  switch (b->answer) {
    case AIOT_ANSWER_CLASSES:
      return b->classes >= 2 && r->outputs == b->classes && fits_rejection(r) && (b->costs == NULL || r->costs == b->classes * b->classes);
    case AIOT_ANSWER_PROBABILITY:
      return b->classes == 2 && r->outputs == 1;
    case AIOT_ANSWER_VALUE:
      return b->classes == 0 && r->outputs == r->values;
    case AIOT_ANSWER_RECONSTRUCTION:
      return b->classes == 2 && r->outputs == r->inputs;
    case AIOT_ANSWER_OBJECTS:
      return fits_grid(r);
  }
  return false;
}

aiot_code aiot_bundle_open(aiot_bundle *bundle, const uint8_t *data, size_t bytes, aiot_arena *arena) {
  memset(bundle, 0, sizeof *bundle);
  aiot_span info, lineage, sums, signing;
  size_t at = 0;
  /* A bundle signed by a platform starts with manifest and signatures. */
  if (aiot_archive_next(data, bytes, &at, "manifest.json", &signing) &&
      !aiot_archive_next(data, bytes, &at, "signatures.json", &signing))
    return AIOT_BUNDLE_MALFORMED;
  if (!aiot_archive_next(data, bytes, &at, "bundle.json", &info) ||
      !aiot_archive_next(data, bytes, &at, "model.tflite", &bundle->model) ||
      !aiot_archive_next(data, bytes, &at, "golden.json", &bundle->golden) ||
      !aiot_archive_next(data, bytes, &at, "lineage.json", &lineage) ||
      !aiot_archive_next(data, bytes, &at, "SHA256SUMS", &sums) || !aiot_archive_ends(data, bytes, at))
    return AIOT_BUNDLE_MALFORMED;

  reading r = {.bundle = bundle, .arena = arena};
  const size_t before = arena->used;
  aiot_json json;
  aiot_json_begin(&json, info.data, info.bytes);
  aiot_json_enter(&json, '{');
  while (aiot_json_key(&json)) read_member(&r, &json);
  aiot_code code = AIOT_OK;
  if (!aiot_json_done(&json)) code = AIOT_BUNDLE_MALFORMED;
  else if (r.unable != AIOT_OK) code = r.unable;
  else if (!fits(&r)) code = AIOT_BUNDLE_MALFORMED;
  if (code != AIOT_OK) arena->used = before;
  return code;
}

size_t aiot_bundle_extra_values(const aiot_bundle *bundle) {
  size_t sum = 0;
  for (size_t i = 0; i < bundle->extras; i++) sum += bundle->extra[i].count;
  return sum;
}

const char *aiot_bundle_label(const aiot_bundle *bundle, int index) {
  if (index < 0 || (size_t)index > bundle->classes) return NULL;
  if ((size_t)index < bundle->classes) return bundle->class_name[index];
  return bundle->reject.label[0] == '\0' ? NULL : bundle->reject.label;
}

#include "runner.h"
#include "vote.h"

static bool fits(const aiot_runner *r, const aiot_tensor *input) {
  const aiot_bundle *b = r->bundle;
  if (r->inputs != aiot_features_count(r->features) || r->inputs != b->standardization.count) return false;
  if (input->scale != b->standardization.scale || input->zero_point != b->standardization.zero_point) return false;
  switch (b->answer) {
    case AIOT_ANSWER_CLASSES: return b->classes >= 2 && r->outputs == b->classes;
    case AIOT_ANSWER_PROBABILITY: return b->classes == 2 && r->outputs == 1;
    case AIOT_ANSWER_VALUE: return r->outputs > 0;
    case AIOT_ANSWER_RECONSTRUCTION: return b->classes == 2 && r->outputs == r->inputs;
    case AIOT_ANSWER_OBJECTS: return !r->trees && b->classes >= 1 && r->outputs == b->objects.rows * b->objects.columns * (1 + b->classes);
  }
  return false;
}

static bool is_supported(int32_t type) {
  return type == AIOT_INT8 || type == AIOT_INT16 || type == AIOT_FLOAT32;
}

/* A value of the model's input or output, which a double represents exactly. */
static double number_of(const void *values, int32_t type, size_t index) {
  if (type == AIOT_FLOAT32) return (double)((const float *)values)[index];
  return type == AIOT_INT16 ? ((const int16_t *)values)[index] : ((const int8_t *)values)[index];
}

/* Allocates the values of the input and output. */
static aiot_code take_ends(aiot_runner *r, aiot_arena *arena) {
  const size_t in = aiot_type_bytes(r->bundle->input_type), out = aiot_type_bytes(r->bundle->output_type);
  r->input = aiot_arena_take(arena, r->inputs * in, in);
  r->output = aiot_arena_take(arena, (r->outputs + r->extra) * out, out);
  return r->input && r->output ? AIOT_OK : AIOT_MEMORY_SHORT;
}

static aiot_code open_network(aiot_runner *r, aiot_arena *arena) {
  const aiot_code code = r->inference->open(r->bundle->model.data, r->bundle->model.bytes, arena, &r->model);
  if (code != AIOT_OK) return code;
  const aiot_tensor *input = r->inference->input(r->model), *output = r->inference->output(r->model);
  if (!is_supported(input->type) || !is_supported(output->type)) return AIOT_MODEL_UNSUPPORTED;
  /* Objects are found by comparing integers. */
  if (r->bundle->answer == AIOT_ANSWER_OBJECTS && output->type == AIOT_FLOAT32) return AIOT_MODEL_UNSUPPORTED;
  if (input->type != r->bundle->input_type || output->type != r->bundle->output_type) return AIOT_BUNDLE_MALFORMED;
  r->inputs = input->count;
  r->extra = aiot_bundle_extra_values(r->bundle);
  if (r->extra >= output->count) return AIOT_BUNDLE_MALFORMED;
  r->outputs = output->count - r->extra;
  if (!fits(r, input)) return AIOT_BUNDLE_MALFORMED;
  return take_ends(r, arena);
}

/* AIOT_MODEL_UNSUPPORTED if the model does not consist of decision trees. */
static aiot_code open_forest(aiot_runner *r, aiot_arena *arena) {
  if (r->bundle->input_type != AIOT_FLOAT32 || r->bundle->output_type != AIOT_FLOAT32) return AIOT_MODEL_UNSUPPORTED;
  const aiot_code code = aiot_forest_open(r->bundle->model.data, r->bundle->model.bytes, &r->forest);
  if (code != AIOT_OK) return code;
  r->inputs = r->forest.inputs;
  r->outputs = r->forest.outputs;
  r->trees = true;
  if (!fits(r, &(aiot_tensor){.count = r->inputs, .scale = 1})) return AIOT_BUNDLE_MALFORMED;
  r->sums = aiot_arena_take(arena, r->outputs * sizeof(int32_t), _Alignof(int32_t));
  return r->sums ? take_ends(r, arena) : AIOT_MEMORY_SHORT;
}

aiot_code aiot_runner_open(aiot_runner *r, const aiot_bundle *bundle, const aiot_inference *inference, aiot_arena *arena) {
  *r = (aiot_runner){.bundle = bundle, .inference = inference};
  aiot_code code = aiot_features_open(&bundle->signal, arena, &r->features);
  if (code != AIOT_OK) return code;
  code = open_forest(r, arena);
  if (code == AIOT_MODEL_UNSUPPORTED) code = open_network(r, arena);
  if (code != AIOT_OK) return code;
  if (bundle->answer == AIOT_ANSWER_OBJECTS) return aiot_objects_open(&r->objects, &bundle->objects, bundle->classes, arena);
  return bundle->answer == AIOT_ANSWER_VALUE && r->outputs > AIOT_CLASSES_MAX ? AIOT_MODEL_UNSUPPORTED : AIOT_OK;
}

void aiot_runner_reset(const aiot_runner *r) {
  if (r->model) r->inference->reset(r->model);
}

double aiot_runner_input(const aiot_runner *r, size_t index) {
  return number_of(r->input, r->bundle->input_type, index);
}

double aiot_runner_output(const aiot_runner *r, size_t index) {
  return number_of(r->output, r->bundle->output_type, index);
}

/* Real value of an output. */
static double real(const aiot_runner *r, size_t index) {
  if (r->bundle->output_type == AIOT_FLOAT32) return aiot_runner_output(r, index);
  const aiot_tensor *tensor = r->inference->output(r->model);
  return tensor->scale * (aiot_runner_output(r, index) - (double)tensor->zero_point);
}

/*
 * Index of the largest value; the first one if several are equal. The output's own numbers are compared, so that dequantizing makes
 * no difference.
 */
static int greatest(const aiot_runner *r) {
  size_t best = 0;
  for (size_t i = 1; i < r->outputs; i++) {
    if (aiot_runner_output(r, i) > aiot_runner_output(r, best)) best = i;
  }
  return (int)best;
}

static double standardized(const aiot_runner *r, size_t index, const float *features) {
  const aiot_input_spec *s = &r->bundle->standardization;
  const size_t place = aiot_input_place(s, index);
  return ((double)features[index] - s->mean[place]) / s->deviation[place];
}

/*
 * Mean squared distance from the standardized input before quantization. Quantization clips values beyond the integers' range, but
 * these must still count as far away.
 */
static double reconstruction_error(const aiot_runner *r, const float *features) {
  double sum = 0;
  for (size_t i = 0; i < r->outputs; i++) {
    const double distance = real(r, i) - standardized(r, i, features);
    sum += distance * distance;
  }
  return sum / (double)r->outputs;
}

/* Mean squared, weighted distance of the standardized input from the center of a class. */
static double distance_to(const aiot_runner *r, size_t index, const float *features) {
  const aiot_reject_spec *reject = &r->bundle->reject;
  const double *center = reject->center + index * r->inputs;
  double sum = 0;
  for (size_t i = 0; i < r->inputs; i++) {
    const double distance = (standardized(r, i, features) - center[i]) * reject->weight[i];
    sum += distance * distance;
  }
  return sum / (double)r->inputs;
}

/* Whether a window belongs to no class, given its predicted class and that class's output. */
static bool is_rejected(const aiot_runner *r, int index, double share, const float *features) {
  const aiot_reject_spec *reject = &r->bundle->reject;
  if (reject->label[0] == '\0') return false;
  if (share < reject->minimum[index]) return true;
  return reject->radius != NULL && distance_to(r, (size_t)index, features) > reject->radius[index];
}

static void run(const aiot_runner *r, const float *features) {
  if (r->bundle->window_state) aiot_runner_reset(r);
  const aiot_input_spec *spec = &r->bundle->standardization;
  const int32_t type = r->bundle->input_type;
  for (size_t i = 0; i < r->inputs; i++) {
    if (type == AIOT_FLOAT32) ((float *)r->input)[i] = (float)standardized(r, i, features);
    else if (type == AIOT_INT16) ((int16_t *)r->input)[i] = aiot_quantize_feature16(spec, i, (double)features[i]);
    else ((int8_t *)r->input)[i] = aiot_quantize_feature(spec, i, (double)features[i]);
  }
  if (r->trees) {
    aiot_forest_sums(&r->forest, r->input, r->sums);
    aiot_forest_outputs(&r->forest, r->sums, r->output);
    return;
  }
  r->inference->invoke(r->model, r->input, r->output);
}

size_t aiot_runner_scores(const aiot_runner *r) {
  switch (r->bundle->answer) {
    case AIOT_ANSWER_PROBABILITY: return 2;
    case AIOT_ANSWER_RECONSTRUCTION: return 1;
    case AIOT_ANSWER_OBJECTS: return r->bundle->classes;
    default: return r->outputs;
  }
}

void aiot_runner_answer(const aiot_runner *r, const float *features, aiot_answer *answer) {
  const aiot_bundle *b = r->bundle;
  run(r, features);
  *answer = (aiot_answer){.label = -1, .voted = -1};
  if (r->extra > 0) answer->extra = (const float *)r->output + r->outputs;
  switch (b->answer) {
    case AIOT_ANSWER_CLASSES:
    case AIOT_ANSWER_VALUE:
      answer->scores = r->outputs;
      for (size_t i = 0; i < r->outputs; i++) answer->score[i] = real(r, i);
      if (b->answer == AIOT_ANSWER_VALUE) {
        answer->value = answer->score[0];
        return;
      }
      answer->label = b->costs ? (int)aiot_best_class(answer->score, b->classes, b->costs) : greatest(r);
      if (is_rejected(r, answer->label, answer->score[answer->label], features)) answer->label = (int)b->classes;
      return;
    case AIOT_ANSWER_PROBABILITY:
      answer->value = real(r, 0);
      answer->label = answer->value >= b->threshold ? 1 : 0;
      answer->scores = 2;
      answer->score[0] = 1 - answer->value;
      answer->score[1] = answer->value;
      return;
    case AIOT_ANSWER_RECONSTRUCTION:
      answer->value = reconstruction_error(r, features);
      answer->label = answer->value > b->threshold ? 1 : 0;
      answer->scores = 1;
      answer->score[0] = answer->value;
      return;
    case AIOT_ANSWER_OBJECTS:
      answer->object = r->objects.object;
      answer->objects = aiot_objects_find(&r->objects, r->output, r->inference->output(r->model), b->threshold);
      answer->value = (double)answer->objects;
      answer->scores = b->classes;
      for (size_t i = 0; i < answer->objects; i++) answer->score[answer->object[i].label]++;
      return;
  }
}

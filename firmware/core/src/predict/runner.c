#include "runner.h"

static bool fits(const aiot_runner *r, const aiot_tensor *input) {
  const aiot_bundle *b = r->bundle;
  if (r->inputs != aiot_features_count(r->features) || r->inputs != b->standardization.count) return false;
  if (input->scale != b->standardization.scale || input->zero_point != b->standardization.zero_point) return false;
  switch (b->answer) {
    case AIOT_ANSWER_CLASSES: return b->classes >= 2 && r->outputs == b->classes;
    case AIOT_ANSWER_PROBABILITY: return b->classes == 2 && r->outputs == 1;
    case AIOT_ANSWER_VALUE: return r->outputs > 0;
    case AIOT_ANSWER_RECONSTRUCTION: return b->classes == 2 && r->outputs == r->inputs;
  }
  return false;
}

aiot_code aiot_runner_open(aiot_runner *r, const aiot_bundle *bundle, const aiot_inference *inference, aiot_arena *arena) {
  *r = (aiot_runner){.bundle = bundle, .inference = inference};
  aiot_code code = aiot_features_open(&bundle->signal, arena, &r->features);
  if (code != AIOT_OK) return code;
  code = inference->open(bundle->model.data, bundle->model.bytes, arena, &r->model);
  if (code != AIOT_OK) return code;
  const aiot_tensor *input = inference->input(r->model);
  r->inputs = input->count;
  r->outputs = inference->output(r->model)->count;
  if (!fits(r, input)) return AIOT_BUNDLE_MALFORMED;
  if (bundle->answer == AIOT_ANSWER_VALUE && r->outputs > AIOT_CLASSES_MAX) return AIOT_MODEL_UNSUPPORTED;
  r->input = aiot_arena_take(arena, r->inputs, 1);
  r->output = aiot_arena_take(arena, r->outputs, 1);
  return r->input && r->output ? AIOT_OK : AIOT_MEMORY_SHORT;
}

/* Real value of an output's integer. */
static double real(const aiot_tensor *tensor, int8_t q) { return tensor->scale * (double)(q - tensor->zero_point); }

/*
 * Index of the largest value; the first one if several are equal. The output's integers are compared, so that dequantizing makes
 * no difference.
 */
static int greatest(const int8_t *values, size_t count) {
  size_t best = 0;
  for (size_t i = 1; i < count; i++) {
    if (values[i] > values[best]) best = i;
  }
  return (int)best;
}

/*
 * Mean squared distance from the standardized input before quantization. Quantization clips values beyond the int8 range, but
 * these must still count as far away.
 */
static double reconstruction_error(const aiot_runner *r, const aiot_tensor *output, const float *features) {
  const aiot_input_spec *s = &r->bundle->standardization;
  double sum = 0;
  for (size_t i = 0; i < r->outputs; i++) {
    const double input = ((double)features[i] - s->mean[i]) / s->deviation[i];
    const double distance = real(output, r->output[i]) - input;
    sum += distance * distance;
  }
  return sum / (double)r->outputs;
}

void aiot_runner_answer(const aiot_runner *r, const float *features, aiot_answer *answer) {
  const aiot_bundle *b = r->bundle;
  for (size_t i = 0; i < r->inputs; i++) r->input[i] = aiot_quantize_feature(&b->standardization, i, (double)features[i]);
  r->inference->invoke(r->model, r->input, r->output);
  const aiot_tensor *output = r->inference->output(r->model);
  *answer = (aiot_answer){.label = -1, .voted = -1};
  switch (b->answer) {
    case AIOT_ANSWER_CLASSES:
    case AIOT_ANSWER_VALUE:
      answer->scores = r->outputs;
      for (size_t i = 0; i < r->outputs; i++) answer->score[i] = real(output, r->output[i]);
      if (b->answer == AIOT_ANSWER_CLASSES) answer->label = greatest(r->output, r->outputs);
      else answer->value = answer->score[0];
      return;
    case AIOT_ANSWER_PROBABILITY:
      answer->value = real(output, r->output[0]);
      answer->label = answer->value >= b->threshold ? 1 : 0;
      answer->scores = 2;
      answer->score[0] = 1 - answer->value;
      answer->score[1] = answer->value;
      return;
    case AIOT_ANSWER_RECONSTRUCTION:
      answer->value = reconstruction_error(r, output, features);
      answer->label = answer->value > b->threshold ? 1 : 0;
      answer->scores = 1;
      answer->score[0] = answer->value;
      return;
  }
}

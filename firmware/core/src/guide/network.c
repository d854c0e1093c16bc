/*
 * The guide's networks: dense layers in float32, as in its firmware, computed like src/lib/runtime/interpreter/float.ts; or int8
 * networks signed by a platform, with int8 or float32 inputs and outputs.
 */
#include <math.h>

#include "../flatbuffer.h"
#include "../network.h"
#include "aiot/guide.h"
#include "aiot/input.h"
#include "aiot/model.h"

enum { READINGS = 4, WIDEST = 1 << 16 };

/* Fused activations of the schema. */
enum { FUSED_NONE, FUSED_RELU, FUSED_RELU_N1_TO_1, FUSED_RELU6 };

typedef struct {
  int32_t code;
  int32_t fused;
  uint32_t inputs;
  uint32_t outputs;
  aiot_vector weights;
  /* The biases; empty if absent. */
  aiot_vector bias;
} layer;

struct aiot_guide_network {
  /* The int8 model; NULL if the network is float32. */
  aiot_model *model;
  aiot_input_spec input;
  /* Standardization, applied first: (reading + offset) × factor. Offset and factor are 0 and 1 if the network accepts unscaled readings. */
  float offset[READINGS], factor[READINGS];

  aiot_flatbuffer file;
  layer *layer;
  uint32_t layers;
  /* Values between two layers, which use the two buffers alternately. */
  float *values[2];
};

/* The file while it is being read. */
typedef struct {
  aiot_flatbuffer file;
  aiot_vector tensors, buffers, codes, operators;
  /* Index of the first operator that is a layer. */
  uint32_t first;
  int32_t input, output;
} graph;

typedef struct {
  int32_t type;
  uint32_t count;
  /* Dimensions of a matrix. */
  uint32_t rows, columns;
  aiot_vector data;
} tensor;

static tensor tensor_at(graph *g, int32_t index) {
  aiot_flatbuffer *file = &g->file;
  tensor found = {0};
  if (index < 0 || (uint32_t)index >= g->tensors.count) {
    file->broken = true;
    return found;
  }
  const aiot_table table = aiot_flatbuffer_table_at(file, g->tensors, (uint32_t)index);
  const aiot_vector shape = aiot_flatbuffer_vector(file, table, 0, 4);
  found.type = aiot_flatbuffer_i8(file, table, 1, 0);
  found.count = 1;
  for (uint32_t i = 0; i < shape.count && !file->broken; i++) {
    const int32_t size = aiot_flatbuffer_i32_at(file, shape, i);
    if (size < 1 || (int64_t)size * found.count > AIOT_ELEMENTS_MAX) file->broken = true;
    else found.count *= (uint32_t)size;
    if (i == 0) found.rows = (uint32_t)size;
  }
  found.columns = shape.count == 2 && !file->broken ? found.count / found.rows : 0;
  const int32_t buffer = aiot_flatbuffer_i32(file, table, 2, 0);
  const aiot_table bytes = aiot_flatbuffer_table_at(file, g->buffers, (uint32_t)buffer);
  found.data = aiot_flatbuffer_vector(file, bytes, 0, 1);
  return found;
}

static int32_t only(graph *g, aiot_table table, unsigned slot) {
  const aiot_vector list = aiot_flatbuffer_vector(&g->file, table, slot, 4);
  return list.count == 1 ? aiot_flatbuffer_i32_at(&g->file, list, 0) : -1;
}

static aiot_code read_graph(graph *g, const uint8_t *tflite, size_t bytes) {
  *g = (graph){.file = {tflite, (uint32_t)bytes, false}};
  aiot_flatbuffer *file = &g->file;
  const aiot_table model = aiot_flatbuffer_root(file, "TFL3");
  if (file->broken) return AIOT_BUNDLE_MALFORMED;
  const aiot_vector graphs = aiot_flatbuffer_vector(file, model, 2, 4);
  if (aiot_flatbuffer_i32(file, model, 0, 0) != 3 || graphs.count != 1) return AIOT_MODEL_UNSUPPORTED;
  const aiot_table table = aiot_flatbuffer_table_at(file, graphs, 0);
  g->tensors = aiot_flatbuffer_vector(file, table, 0, 4);
  g->operators = aiot_flatbuffer_vector(file, table, 3, 4);
  g->buffers = aiot_flatbuffer_vector(file, model, 4, 4);
  g->codes = aiot_flatbuffer_vector(file, model, 1, 4);
  g->input = only(g, table, 1);
  g->output = only(g, table, 2);
  return file->broken ? AIOT_BUNDLE_MALFORMED : AIOT_OK;
}

static int32_t code_of(graph *g, aiot_table operator) {
  aiot_flatbuffer *file = &g->file;
  const aiot_table code = aiot_flatbuffer_table_at(file, g->codes, (uint32_t)aiot_flatbuffer_i32(file, operator, 0, 0));
  const int32_t old = aiot_flatbuffer_i8(file, code, 0, 0), builtin = aiot_flatbuffer_i32(file, code, 3, 0);
  return old > builtin ? old : builtin;
}

/* A float32 constant with the required number of elements. */
static bool is_constant(const tensor *t, uint32_t count) {
  return t->type == AIOT_FLOAT32 && t->count == count && t->data.count == 4 * count;
}

/*
 * Reads the constant of an ADD or MUL that combines the tensor `at` with a constant for each reading. Moves `at` to the output.
 */
static aiot_code read_constant(graph *g, uint32_t index, int32_t code, int32_t *at, float *constant) {
  aiot_flatbuffer *file = &g->file;
  const aiot_table table = aiot_flatbuffer_table_at(file, g->operators, index);
  const aiot_vector inputs = aiot_flatbuffer_vector(file, table, 1, 4);
  if (code_of(g, table) != code || inputs.count != 2) return AIOT_MODEL_UNSUPPORTED;
  const int32_t made = only(g, table, 2);
  const tensor from = tensor_at(g, *at), own = tensor_at(g, aiot_flatbuffer_i32_at(file, inputs, 1)), to = tensor_at(g, made);
  if (file->broken) return AIOT_BUNDLE_MALFORMED;
  if (aiot_flatbuffer_i32_at(file, inputs, 0) != *at || aiot_flatbuffer_i8(file, aiot_flatbuffer_table(file, table, 4), 0, 0) != FUSED_NONE)
    return AIOT_MODEL_UNSUPPORTED;
  if (from.type != AIOT_FLOAT32 || to.type != AIOT_FLOAT32 || to.count != READINGS || !is_constant(&own, READINGS)) return AIOT_MODEL_UNSUPPORTED;
  for (uint32_t i = 0; i < READINGS; i++) constant[i] = aiot_flatbuffer_f32_at(file, own.data, i);
  *at = made;
  return file->broken ? AIOT_BUNDLE_MALFORMED : AIOT_OK;
}

/*
 * Reads the standardization that a platform adds. It consists of two operators, which subtract the mean and divide by the deviation. A file
 * may lack both.
 */
static aiot_code read_standardization(graph *g, aiot_guide_network *network) {
  for (size_t i = 0; i < READINGS; i++) network->factor[i] = 1;
  if (code_of(g, aiot_flatbuffer_table_at(&g->file, g->operators, 0)) != AIOT_ADD || g->operators.count < 3) return AIOT_OK;
  const aiot_code code = read_constant(g, 0, AIOT_ADD, &g->input, network->offset);
  if (code != AIOT_OK) return code;
  g->first = 2;
  return read_constant(g, 1, AIOT_MUL, &g->input, network->factor);
}

static aiot_code read_dense(graph *g, aiot_vector inputs, aiot_table options, layer *out) {
  aiot_flatbuffer *file = &g->file;
  const tensor weights = tensor_at(g, aiot_flatbuffer_i32_at(file, inputs, 1));
  if (file->broken || weights.columns == 0 || !is_constant(&weights, weights.count)) return AIOT_MODEL_UNSUPPORTED;
  if (weights.columns != out->inputs || weights.rows != out->outputs) return AIOT_BUNDLE_MALFORMED;
  out->weights = (aiot_vector){weights.data.at, weights.count};
  out->fused = aiot_flatbuffer_i8(file, options, 0, 0);
  if (out->fused > FUSED_RELU6 || aiot_flatbuffer_i8(file, options, 1, 0) != 0) return AIOT_MODEL_UNSUPPORTED;
  const int32_t bias = inputs.count > 2 ? aiot_flatbuffer_i32_at(file, inputs, 2) : -1;
  if (bias < 0) return AIOT_OK;
  const tensor own = tensor_at(g, bias);
  if (file->broken || !is_constant(&own, out->outputs)) return AIOT_BUNDLE_MALFORMED;
  out->bias = (aiot_vector){own.data.at, own.count};
  return AIOT_OK;
}

/* Reads the operator at `index`, whose input must be `at`, the previous operator's output. Sets `at` to its own
 * output. */
static aiot_code read_layer(graph *g, uint32_t index, int32_t *at, layer *out) {
  aiot_flatbuffer *file = &g->file;
  const aiot_table table = aiot_flatbuffer_table_at(file, g->operators, index);
  const aiot_vector inputs = aiot_flatbuffer_vector(file, table, 1, 4);
  const int32_t made = only(g, table, 2);
  const tensor from = tensor_at(g, *at), to = tensor_at(g, made);
  *out = (layer){.code = code_of(g, table), .inputs = from.count, .outputs = to.count};
  if (file->broken || inputs.count == 0) return AIOT_BUNDLE_MALFORMED;
  if (aiot_flatbuffer_i32_at(file, inputs, 0) != *at || from.type != AIOT_FLOAT32 || to.type != AIOT_FLOAT32) return AIOT_MODEL_UNSUPPORTED;
  if (to.count > WIDEST) return AIOT_MODEL_UNSUPPORTED;
  *at = made;
  switch (out->code) {
    case AIOT_FULLY_CONNECTED:
      if (inputs.count < 2) return AIOT_BUNDLE_MALFORMED;
      return read_dense(g, inputs, aiot_flatbuffer_table(file, table, 4), out);
    case AIOT_LOGISTIC:
    case AIOT_TANH:
    case AIOT_RELU:
    case AIOT_RELU6:
    case AIOT_RESHAPE: return from.count == to.count ? AIOT_OK : AIOT_BUNDLE_MALFORMED;
    default: return AIOT_MODEL_UNSUPPORTED;
  }
}

static aiot_code open_float(graph *g, aiot_arena *arena, aiot_guide_network *network) {
  uint32_t widest = READINGS;
  int32_t at = g->input;
  network->layers = g->operators.count - g->first;
  /* An operator takes at least four bytes (a table), so the file's size bounds the number of operators. */
  network->layer = aiot_arena_take(arena, network->layers * sizeof *network->layer, AIOT_ALIGNMENT);
  if (network->layer == NULL) return AIOT_MEMORY_SHORT;
  for (uint32_t i = 0; i < network->layers; i++) {
    const aiot_code code = read_layer(g, g->first + i, &at, &network->layer[i]);
    if (code != AIOT_OK) return code;
    if (network->layer[i].outputs > widest) widest = network->layer[i].outputs;
  }
  if (at != g->output) return AIOT_MODEL_UNSUPPORTED;
  for (size_t i = 0; i < 2; i++) {
    network->values[i] = aiot_arena_take(arena, widest * sizeof(float), AIOT_ALIGNMENT);
    if (network->values[i] == NULL) return AIOT_MEMORY_SHORT;
  }
  network->file = g->file;
  return g->file.broken ? AIOT_BUNDLE_MALFORMED : AIOT_OK;
}

/* Whether the network is computed with integers, which is determined by the first layer's output. */
static bool is_int8(graph *g) {
  const aiot_table first = aiot_flatbuffer_table_at(&g->file, g->operators, g->first);
  const tensor made = tensor_at(g, only(g, first, 2));
  return !g->file.broken && made.type == AIOT_INT8;
}

static aiot_code open_int8(const uint8_t *tflite, size_t bytes, aiot_arena *arena, aiot_guide_network *network) {
  static const double mean[READINGS] = {0}, deviation[READINGS] = {1, 1, 1, 1};
  const aiot_code code = aiot_interpreter_within.open(tflite, bytes, arena, &network->model);
  if (code != AIOT_OK) return code;
  const aiot_tensor *input = aiot_interpreter_within.input(network->model);
  /* The file describes the float32 inputs and outputs, not the int8 network between them. */
  if (input->count != READINGS || aiot_interpreter_within.output(network->model)->count != 1) return AIOT_BUNDLE_MALFORMED;
  network->input = (aiot_input_spec){mean, deviation, READINGS, input->scale, input->zero_point, READINGS};
  return AIOT_OK;
}

aiot_code aiot_guide_network_open(const uint8_t *tflite, size_t bytes, aiot_arena *arena, aiot_guide_network **out) {
  graph g;
  *out = NULL;
  if (bytes > INT32_MAX) return AIOT_MODEL_UNSUPPORTED;
  aiot_code code = read_graph(&g, tflite, bytes);
  if (code != AIOT_OK) return code;
  const tensor input = tensor_at(&g, g.input), output = tensor_at(&g, g.output);
  if (g.file.broken || g.operators.count == 0) return AIOT_BUNDLE_MALFORMED;
  if (input.count != READINGS || output.count != 1) return AIOT_MODEL_UNSUPPORTED;
  const size_t before = arena->used;
  aiot_guide_network *network = aiot_arena_take(arena, sizeof *network, AIOT_ALIGNMENT);
  if (network == NULL) return AIOT_MEMORY_SHORT;
  *network = (aiot_guide_network){0};
  code = read_standardization(&g, network);
  if (code == AIOT_OK) code = is_int8(&g) ? open_int8(tflite, bytes, arena, network) : open_float(&g, arena, network);
  if (code == AIOT_OK) *out = network;
  else arena->used = before;
  return code;
}

static double fuse(int32_t fused, double value) {
  switch (fused) {
    case FUSED_RELU: return value < 0 ? 0 : value;
    case FUSED_RELU_N1_TO_1: return value < -1 ? -1 : value > 1 ? 1 : value;
    case FUSED_RELU6: return value < 0 ? 0 : value > 6 ? 6 : value;
    default: return value;
  }
}

static double activate(int32_t code, double value) {
  switch (code) {
    case AIOT_LOGISTIC: return 1 / (1 + exp(-value));
    case AIOT_TANH: return tanh(value);
    case AIOT_RELU: return fuse(FUSED_RELU, value);
    case AIOT_RELU6: return fuse(FUSED_RELU6, value);
    default: return value;
  }
}

/* Computes one neuron. It is summed in double precision, as in TypeScript. */
static double neuron(aiot_guide_network *network, const layer *own, uint32_t out, const float *x) {
  aiot_flatbuffer *file = &network->file;
  double sum = 0;
  for (uint32_t i = 0; i < own->inputs; i++) sum += (double)aiot_flatbuffer_f32_at(file, own->weights, out * own->inputs + i) * (double)x[i];
  if (own->bias.count > 0) sum += (double)aiot_flatbuffer_f32_at(file, own->bias, out);
  return fuse(own->fused, sum);
}

double aiot_guide_network_run(aiot_guide_network *network, const aiot_guide_reading *reading) {
  float given[READINGS] = {(float)reading->current_a, (float)reading->temperature_c, (float)reading->vibration, (float)reading->sound};
  for (size_t i = 0; i < READINGS; i++) {
    given[i] += network->offset[i];
    given[i] *= network->factor[i];
  }
  if (network->model != NULL) {
    int8_t input[READINGS], output;
    for (size_t i = 0; i < READINGS; i++) input[i] = aiot_quantize_feature(&network->input, i, (double)given[i]);
    aiot_interpreter_within.invoke(network->model, input, &output);
    const aiot_tensor *made = aiot_interpreter_within.output(network->model);
    return made->scale * (double)(output - made->zero_point);
  }
  float *x = network->values[0], *y = network->values[1];
  for (size_t i = 0; i < READINGS; i++) x[i] = given[i];
  for (uint32_t l = 0; l < network->layers; l++) {
    const layer *own = &network->layer[l];
    const bool dense = own->code == AIOT_FULLY_CONNECTED;
    for (uint32_t i = 0; i < own->outputs; i++) y[i] = (float)(dense ? neuron(network, own, i, x) : activate(own->code, (double)x[i]));
    float *made = y;
    y = x;
    x = made;
  }
  return (double)x[0];
}

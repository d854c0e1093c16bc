#include "aiot/forest.h"

#include <math.h>
#include <string.h>

#include "network.h"

/* Values of a node: feature, threshold, next node if the feature is at most the threshold, next node if not. */
enum { FEATURE, THRESHOLD, LOW, HIGH, NODE_WORDS };

/* Largest magnitude of a sum: every integer up to it is exact as a float32. */
static const int64_t largest_sum = 1 << 24;

static int32_t word(const uint8_t *table, size_t index) {
  const uint8_t *byte = table + 4 * index;
  return (int32_t)((uint32_t)byte[0] | (uint32_t)byte[1] << 8 | (uint32_t)byte[2] << 16 | (uint32_t)byte[3] << 24);
}

/* Maps a float32 to an integer of the same order, as in src/lib/formats/tflite/forest.ts. */
static int32_t order_key(float value) {
  int32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits < 0 ? -(bits & INT32_MAX) : bits;
}

/* The inputs and the output of FOREST, and the file's output. */
typedef struct {
  aiot_operand input, nodes, leaves, roots, base, sums, output;
} tensors;

static int32_t only(aiot_flatbuffer *file, aiot_table graph, unsigned slot) {
  const aiot_vector list = aiot_flatbuffer_vector(file, graph, slot, 4);
  return list.count == 1 ? aiot_flatbuffer_i32_at(file, list, 0) : -1;
}

/* An operator of the file. */
typedef struct {
  int32_t code;
  aiot_vector name, inputs, outputs;
  aiot_table options;
} step;

static step step_at(aiot_flatbuffer *file, aiot_vector operators, aiot_vector codes, uint32_t index) {
  const aiot_table table = aiot_flatbuffer_table_at(file, operators, index);
  /* The cast makes a negative index out of range. */
  const aiot_table code = aiot_flatbuffer_table_at(file, codes, (uint32_t)aiot_flatbuffer_i32(file, table, 0, 0));
  const int32_t old = aiot_flatbuffer_i8(file, code, 0, 0), builtin = aiot_flatbuffer_i32(file, code, 3, 0);
  return (step){
      .code = old > builtin ? old : builtin,
      .name = aiot_flatbuffer_vector(file, code, 1, 1),
      .inputs = aiot_flatbuffer_vector(file, table, 1, 4),
      .outputs = aiot_flatbuffer_vector(file, table, 2, 4),
      .options = aiot_flatbuffer_table(file, table, 4),
  };
}

static bool is_forest(const aiot_flatbuffer *file, const step *own) {
  static const char name[] = "AIOT_FOREST";
  if (file->broken || own->code != AIOT_CUSTOM || own->name.count != sizeof name - 1) return false;
  return memcmp(file->data + own->name.at, name, sizeof name - 1) == 0;
}

static bool is_ending(aiot_flatbuffer *file, const step *own, aiot_ending *ending) {
  *ending = own->code == AIOT_SOFTMAX ? AIOT_ENDING_SOFTMAX : AIOT_ENDING_LOGISTIC;
  if (own->inputs.count != 1 || own->outputs.count != 1) return false;
  if (own->code == AIOT_SOFTMAX) return aiot_flatbuffer_f32(file, own->options, 0, 0.0f) == 1.0f;
  return own->code == AIOT_LOGISTIC;
}

static aiot_code read_tensor(aiot_flatbuffer *file, aiot_vector list, aiot_vector buffers, int32_t index, aiot_operand *out) {
  const aiot_table tensor = aiot_flatbuffer_table_at(file, list, (uint32_t)index);
  return file->broken ? AIOT_BUNDLE_MALFORMED : aiot_operand_read(file, tensor, buffers, out);
}

static aiot_code read_tensors(aiot_flatbuffer *file, tensors *out, aiot_ending *ending) {
  const aiot_table model = aiot_flatbuffer_root(file, "TFL3");
  if (file->broken) return AIOT_BUNDLE_MALFORMED;
  const aiot_vector graphs = aiot_flatbuffer_vector(file, model, 2, 4);
  if (aiot_flatbuffer_i32(file, model, 0, 0) != 3 || graphs.count != 1) return AIOT_MODEL_UNSUPPORTED;
  const aiot_table graph = aiot_flatbuffer_table_at(file, graphs, 0);
  const aiot_vector list = aiot_flatbuffer_vector(file, graph, 0, 4), buffers = aiot_flatbuffer_vector(file, model, 4, 4);
  const aiot_vector operators = aiot_flatbuffer_vector(file, graph, 3, 4), codes = aiot_flatbuffer_vector(file, model, 1, 4);
  if (file->broken) return AIOT_BUNDLE_MALFORMED;
  if (operators.count != 1 && operators.count != 2) return AIOT_MODEL_UNSUPPORTED;
  const step trees = step_at(file, operators, codes, 0);
  if (!is_forest(file, &trees)) return file->broken ? AIOT_BUNDLE_MALFORMED : AIOT_MODEL_UNSUPPORTED;
  if (trees.inputs.count != 5 || trees.outputs.count != 1) return AIOT_BUNDLE_MALFORMED;
  const int32_t input = aiot_flatbuffer_i32_at(file, trees.inputs, 0), sums = aiot_flatbuffer_i32_at(file, trees.outputs, 0);
  int32_t last = sums;
  *ending = AIOT_ENDING_NONE;
  if (operators.count == 2) {
    const step after = step_at(file, operators, codes, 1);
    if (!is_ending(file, &after, ending) || aiot_flatbuffer_i32_at(file, after.inputs, 0) != sums) return AIOT_MODEL_UNSUPPORTED;
    last = aiot_flatbuffer_i32_at(file, after.outputs, 0);
  }
  if (input != only(file, graph, 1) || last != only(file, graph, 2)) return AIOT_MODEL_UNSUPPORTED;
  aiot_operand *const tables[] = {&out->nodes, &out->leaves, &out->roots, &out->base};
  aiot_code code = read_tensor(file, list, buffers, input, &out->input);
  for (uint32_t i = 0; i < 4 && code == AIOT_OK; i++)
    code = read_tensor(file, list, buffers, aiot_flatbuffer_i32_at(file, trees.inputs, 1 + i), tables[i]);
  if (code == AIOT_OK) code = read_tensor(file, list, buffers, sums, &out->sums);
  if (code == AIOT_OK) code = read_tensor(file, list, buffers, last, &out->output);
  return file->broken ? AIOT_BUNDLE_MALFORMED : code;
}

/* Whether the tensor is computed by the file's operators, and has this many float32 elements. */
static bool is_computed(const aiot_operand *operand, int32_t count) {
  return operand->type == AIOT_FLOAT32 && operand->data == NULL && operand->count == count;
}

static int64_t magnitude(int32_t value) {
  return value < 0 ? -(int64_t)value : value;
}

/* Reads a leaf's magnitude at one output; false if the leaf does not exist. */
static bool leaf_magnitude(const aiot_forest *forest, size_t leaves, int32_t reference, size_t output, int64_t *out) {
  const size_t leaf = (size_t)(-1 - reference);
  if (leaf >= leaves) return false;
  *out = magnitude(word(forest->leaves, leaf * forest->outputs + output));
  return true;
}

/* Checks the nodes [from, end) of a tree, and finds the largest magnitude of one output among its leaves. */
static bool check_tree(const aiot_forest *forest, size_t leaves, size_t from, size_t end, size_t output, int64_t *most) {
  *most = 0;
  for (size_t at = from; at < end; at++) {
    const uint8_t *node = forest->nodes + 4 * NODE_WORDS * at;
    const int32_t feature = word(node, FEATURE);
    if (feature < 0 || (size_t)feature >= forest->inputs) return false;
    for (size_t side = LOW; side <= HIGH; side++) {
      const int32_t next = word(node, side);
      int64_t value = 0;
      /* Only later nodes of the same tree, so every walk ends. */
      if (next >= 0 ? (size_t)next <= at || (size_t)next >= end : !leaf_magnitude(forest, leaves, next, output, &value)) return false;
      if (value > *most) *most = value;
    }
  }
  return true;
}

/* Trees are stored in sequence, so that each can be checked without memory. */
static bool is_sound(const aiot_forest *forest, size_t nodes, size_t leaves) {
  for (size_t output = 0; output < forest->outputs; output++) {
    int64_t sum = magnitude(word(forest->base, output));
    size_t end = nodes;
    for (size_t t = forest->trees; t-- > 0;) {
      const int32_t root = word(forest->roots, t);
      int64_t most = 0;
      if (root < 0) {
        if (!leaf_magnitude(forest, leaves, root, output, &most)) return false;
      } else {
        if ((size_t)root >= end || !check_tree(forest, leaves, (size_t)root, end, output, &most)) return false;
        end = (size_t)root;
      }
      sum += most;
      if (sum > largest_sum) return false;
    }
  }
  return true;
}

aiot_code aiot_forest_open(const uint8_t *tflite, size_t bytes, aiot_forest *out) {
  if (bytes > INT32_MAX) return AIOT_MODEL_UNSUPPORTED;
  aiot_flatbuffer file = {tflite, (uint32_t)bytes, false};
  tensors t;
  memset(&t, 0, sizeof t);
  aiot_ending ending = AIOT_ENDING_NONE;
  const aiot_code code = read_tensors(&file, &t, &ending);
  if (code != AIOT_OK) return code;
  const aiot_operand *const tables[] = {&t.nodes, &t.leaves, &t.roots, &t.base};
  for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++)
    if (!aiot_operand_constant(tables[i], AIOT_INT32)) return AIOT_BUNDLE_MALFORMED;
  const int32_t outputs = t.base.count;
  if (!is_computed(&t.input, t.input.count) || !is_computed(&t.sums, outputs) || !is_computed(&t.output, outputs)) return AIOT_BUNDLE_MALFORMED;
  if (t.nodes.count % NODE_WORDS != 0 || t.leaves.count % outputs != 0) return AIOT_BUNDLE_MALFORMED;
  int exponent = 0;
  const double scale = t.leaves.scale.count > 0 ? (double)aiot_flatbuffer_f32_at(&file, t.leaves.scale, 0) : 0;
  if (frexp(scale, &exponent) != 0.5 || exponent < -95 || exponent > 97) return AIOT_BUNDLE_MALFORMED;
  *out = (aiot_forest){
      .inputs = (size_t)t.input.count,
      .outputs = (size_t)outputs,
      .trees = (size_t)t.roots.count,
      .nodes = t.nodes.data,
      .leaves = t.leaves.data,
      .roots = t.roots.data,
      .base = t.base.data,
      .scale = scale,
      .ending = ending,
  };
  return is_sound(out, (size_t)(t.nodes.count / NODE_WORDS), (size_t)(t.leaves.count / outputs)) ? AIOT_OK : AIOT_BUNDLE_MALFORMED;
}

void aiot_forest_sums(const aiot_forest *forest, const float *features, int32_t *sums) {
  for (size_t o = 0; o < forest->outputs; o++) sums[o] = word(forest->base, o);
  for (size_t t = 0; t < forest->trees; t++) {
    int32_t at = word(forest->roots, t);
    while (at >= 0) {
      const uint8_t *node = forest->nodes + 4 * NODE_WORDS * (size_t)at;
      at = word(node, order_key(features[word(node, FEATURE)]) <= word(node, THRESHOLD) ? LOW : HIGH);
    }
    const uint8_t *leaf = forest->leaves + 4 * forest->outputs * (size_t)(-1 - at);
    for (size_t o = 0; o < forest->outputs; o++) sums[o] += word(leaf, o);
  }
}

static void softmax(size_t count, float *values) {
  float most = values[0];
  for (size_t i = 1; i < count; i++)
    if (values[i] > most) most = values[i];
  double sum = 0;
  for (size_t i = 0; i < count; i++) {
    const double share = exp((double)values[i] - (double)most);
    sum += share;
    values[i] = (float)share;
  }
  for (size_t i = 0; i < count; i++) values[i] = (float)((double)values[i] / sum);
}

void aiot_forest_outputs(const aiot_forest *forest, const int32_t *sums, float *outputs) {
  for (size_t o = 0; o < forest->outputs; o++) outputs[o] = (float)(sums[o] * forest->scale);
  if (forest->ending == AIOT_ENDING_SOFTMAX) softmax(forest->outputs, outputs);
  if (forest->ending == AIOT_ENDING_LOGISTIC)
    for (size_t o = 0; o < forest->outputs; o++) outputs[o] = (float)(1 / (1 + exp(-(double)outputs[o])));
}

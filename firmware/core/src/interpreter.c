#include <string.h>

#include "aiot/model.h"
#include "network.h"
#include "network_read.h"
#include "quantized.h"
#include "variables.h"

struct aiot_model {
  aiot_tensor input, output;
  const aiot_step *steps;
  const aiot_variable *variables;
  int8_t *first;
  const int8_t *last;
};

static int32_t largest(int32_t a, int32_t b) {
  return a > b ? a : b;
}

/* Determines the lifetime of each tensor's memory: from the first to the last use of all tensors that share it. */
static void join_lives(aiot_network *network) {
  for (int32_t i = 0; i < network->operands; i++) {
    const aiot_operand *operand = &network->operand[i];
    if (operand->root == i || !operand->made) continue;
    aiot_operand *root = &network->operand[operand->root];
    root->last = largest(root->last, operand->last);
  }
}

static uint32_t bytes_of(const aiot_operand *operand) {
  return (uint32_t)operand->count * aiot_type_bytes(operand->type);
}

/* `at`, or the next offset that is aligned for the tensor's elements. */
static uint32_t aligned(const aiot_operand *operand, uint32_t at) {
  const uint32_t bytes = aiot_type_bytes(operand->type);
  return (at + bytes - 1) & ~(bytes - 1);
}

static bool placed_here(const aiot_operand *operand, int32_t index) {
  return operand->made && operand->root == index && operand->variable == NULL;
}

/*
 * Assigns memory to the activations: the largest first, each in the lowest gap that is free during its lifetime (as in TFLite
 * Micro's GreedyMemoryPlanner). An offset of UINT32_MAX means that none is assigned yet. Returns the total size; UINT32_MAX = too
 * large for any arena.
 */
static uint32_t place(aiot_network *network) {
  uint32_t all = 0;
  for (int32_t i = 0; i < network->operands; i++) network->operand[i].offset = UINT32_MAX;
  for (;;) {
    aiot_operand *next = NULL;
    for (int32_t i = 0; i < network->operands; i++) {
      aiot_operand *operand = &network->operand[i];
      if (!placed_here(operand, i) || operand->offset != UINT32_MAX) continue;
      if (next == NULL || bytes_of(operand) >= bytes_of(next)) next = operand;
    }
    if (next == NULL) return all;
    uint32_t at = 0;
    for (bool moved = true; moved;) {
      moved = false;
      for (int32_t i = 0; i < network->operands; i++) {
        const aiot_operand *other = &network->operand[i];
        if (!placed_here(other, i) || other->offset == UINT32_MAX) continue;
        if (other->last < next->first || other->first > next->last) continue;
        const uint32_t end = other->offset + bytes_of(other);
        if (other->offset >= at + bytes_of(next) || end <= at) continue;
        at = aligned(next, end);
        moved = true;
      }
    }
    if (at > INT32_MAX - bytes_of(next)) return UINT32_MAX;
    next->offset = at;
    if (at + bytes_of(next) > all) all = at + bytes_of(next);
  }
}

/* Alignment of the memory for activations. */
static size_t alignment_of(const aiot_network *network) {
  size_t most = 1;
  for (int32_t i = 0; i < network->operands; i++)
    if (placed_here(&network->operand[i], i) && aiot_type_bytes(network->operand[i].type) > most) most = aiot_type_bytes(network->operand[i].type);
  return most;
}

static const int8_t *memory_of(const aiot_network *network, int32_t index, int8_t *memory) {
  if (index < 0) return NULL;
  const aiot_operand *operand = &network->operand[network->operand[index].root];
  if (operand->variable != NULL) return operand->variable->value;
  return operand->data != NULL ? (const int8_t *)operand->data : memory + operand->offset;
}

/* Sets the pointers of the steps into `memory`, which follows the arena's allocations and is not allocated yet. */
static void bind(aiot_network *network, int8_t *memory) {
  for (aiot_step *step = network->steps; step != NULL; step = step->next) {
    step->x = memory_of(network, step->from, memory);
    step->x2 = memory_of(network, step->from2, memory);
    step->x3 = memory_of(network, step->from3, memory);
    const aiot_operand *to = &network->operand[network->operand[step->to].root];
    step->y = to->variable != NULL ? to->variable->value : memory + to->offset;
  }
}

static bool describe(aiot_network *network, int32_t index, aiot_tensor *out) {
  const aiot_operand *operand = &network->operand[index];
  aiot_scale scale = {1, 0};
  if (!operand->made || (operand->type == AIOT_UINT8 && !operand->converted)) return false;
  switch (operand->type) {
    case AIOT_INT8:
    case AIOT_UINT8:
      if (!aiot_byte_scale_of(&network->file, operand, &scale)) return false;
      break;
    case AIOT_INT16:
    case AIOT_INT32:
      if (operand->scale.count > 0 && !aiot_stored_scale_of(&network->file, operand, &scale)) return false;
      break;
    case AIOT_UINT32:
    case AIOT_BOOL:
    case AIOT_FLOAT32:
      break;
    default:
      return false;
  }
  *out = (aiot_tensor){(size_t)operand->count, scale.scale, scale.zero_point, operand->type == AIOT_UINT8 ? AIOT_INT8 : operand->type};
  return true;
}

static aiot_code prepare(aiot_network *network, aiot_model *model) {
  int32_t input = 0, output = 0;
  aiot_code code = aiot_network_read(network, &input, &output);
  if (code != AIOT_OK) return code;
  if (network->file.broken) return AIOT_BUNDLE_MALFORMED;
  if (!describe(network, input, &model->input) || !describe(network, output, &model->output))
    return network->file.broken ? AIOT_BUNDLE_MALFORMED : AIOT_MODEL_UNSUPPORTED;
  join_lives(network);
  if (place(network) > INT32_MAX) return AIOT_MEMORY_SHORT;
  aiot_arena *arena = network->arena;
  int8_t *memory = (int8_t *)arena->base + arena->used;
  memory += -(uintptr_t)memory & (alignment_of(network) - 1);
  bind(network, memory);
  model->steps = network->steps;
  model->variables = network->variables;
  model->first = memory + network->operand[input].offset;
  model->last = memory_of(network, output, memory);
  /* The memory is not zeroed yet, because it may overlap the tensors. */
  return AIOT_OK;
}

static uint32_t head_bytes(const aiot_network *network) {
  uint32_t all = 0;
  for (int32_t i = 0; i < network->operands; i++) {
    const aiot_operand *operand = &network->operand[i];
    if (placed_here(operand, i) && operand->offset + bytes_of(operand) > all)
      all = operand->offset + bytes_of(operand);
  }
  return all;
}

/*
 * Permanent data (the model and its steps) is allocated from the front of the arena. Temporary data (the tensors) is allocated from the
 * back, where the activations may be placed later.
 */
static aiot_code open_with(const uint8_t *tflite, size_t bytes, aiot_arena *arena, aiot_model **out, bool float_ends) {
  *out = NULL;
  if (bytes > INT32_MAX) return AIOT_MODEL_UNSUPPORTED;
  const size_t before = arena->used, whole = arena->bytes;
  aiot_network network = {.file = {tflite, (uint32_t)bytes, false}, .arena = arena, .float_ends = float_ends};
  network.end = &network.steps;
  aiot_model *model = aiot_arena_take(arena, sizeof *model, AIOT_ALIGNMENT);
  aiot_code code = model == NULL ? AIOT_MEMORY_SHORT : prepare(&network, model);
  if (network.file.broken) code = AIOT_BUNDLE_MALFORMED;
  const size_t head = code == AIOT_OK ? head_bytes(&network) : 0;
  arena->bytes = whole;
  if (code == AIOT_OK && aiot_arena_take(arena, head, alignment_of(&network)) == NULL) code = AIOT_MEMORY_SHORT;
  if (code == AIOT_OK) {
    aiot_variables_reset(model->variables);
    *out = model;
  }
  else
    arena->used = before;
  return code;
}

static aiot_code open_network(const uint8_t *tflite, size_t bytes, aiot_arena *arena, aiot_model **out) {
  return open_with(tflite, bytes, arena, out, false);
}

static aiot_code open_within(const uint8_t *tflite, size_t bytes, aiot_arena *arena, aiot_model **out) {
  return open_with(tflite, bytes, arena, out, true);
}

static const aiot_tensor *input_of(const aiot_model *model) {
  return &model->input;
}

static const aiot_tensor *output_of(const aiot_model *model) {
  return &model->output;
}

static size_t size_of(const aiot_tensor *tensor) {
  return tensor->count * aiot_type_bytes(tensor->type);
}

static void invoke(aiot_model *model, const void *input, void *output) {
  memcpy(model->first, input, size_of(&model->input));
  for (const aiot_step *step = model->steps; step != NULL; step = step->next) step->run(step);
  memcpy(output, model->last, size_of(&model->output));
}

static void reset(aiot_model *model) {
  aiot_variables_reset(model->variables);
}

const aiot_inference aiot_interpreter = {"aiot", open_network, input_of, output_of, invoke, reset};
const aiot_inference aiot_interpreter_within = {"aiot-within", open_within, input_of, output_of, invoke, reset};

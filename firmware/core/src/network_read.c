#include "network_read.h"

#include <string.h>

#include "kernels.h"
#include "variables.h"

/* Checks all buffers, including unused ones, because a length beyond the file always means damage. */
static aiot_code check_buffers(aiot_flatbuffer *file, aiot_vector buffers) {
  for (uint32_t i = 0; i < buffers.count && !file->broken; i++) {
    const aiot_table buffer = aiot_flatbuffer_table_at(file, buffers, i);
    (void)aiot_flatbuffer_vector(file, buffer, 0, 1);
    /* Data outside of the FlatBuffer is not supported. */
    if (aiot_flatbuffer_u64_above_one(file, buffer, 1)) return AIOT_MODEL_UNSUPPORTED;
  }
  return file->broken ? AIOT_BUNDLE_MALFORMED : AIOT_OK;
}

/* Reads the tensors. They are allocated from the back of the arena. */
static aiot_code read_operands(aiot_network *network, aiot_vector tensors, aiot_vector buffers) {
  aiot_arena *arena = network->arena;
  const size_t bytes = tensors.count * sizeof(aiot_operand);
  /*
   * Each tensor takes at least a table in the file, so the file's size bounds their number. An index must fit into a step's
   * field.
   */
  if (tensors.count > INT16_MAX) return AIOT_MODEL_UNSUPPORTED;
  const size_t free = arena->bytes - arena->used;
  if (bytes + AIOT_ALIGNMENT > free) return AIOT_MEMORY_SHORT;
  const uintptr_t back = (uintptr_t)(arena->base + arena->bytes - bytes);
  arena->bytes -= bytes + back % AIOT_ALIGNMENT;
  network->operand = (aiot_operand *)(void *)(arena->base + arena->bytes);
  network->operands = (int32_t)tensors.count;
  memset(network->operand, 0, bytes);
  for (uint32_t i = 0; i < tensors.count; i++) {
    network->operand[i].root = (int32_t)i;
    const aiot_table tensor = aiot_flatbuffer_table_at(&network->file, tensors, i);
    const aiot_code code = aiot_operand_read(&network->file, tensor, buffers, &network->operand[i]);
    if (code != AIOT_OK || network->file.broken) return code == AIOT_OK ? AIOT_BUNDLE_MALFORMED : code;
  }
  return AIOT_OK;
}

/*
 * Checks that the operator's inputs were written before it and its outputs were not, and records the use of each. Only inputs
 * beyond the minimum may be omitted, but never elements of a list.
 */
static bool in_order(const aiot_operator *operator, const aiot_kernel *kernel, int32_t time) {
  aiot_network *network = operator->network;
  if (operator->inputs.count < kernel->least || operator->inputs.count > kernel->most) return false;
  const bool several = operator->code == AIOT_SPLIT || operator->code == AIOT_SPLIT_V || operator->code == AIOT_UNPACK;
  const bool pair = operator->code == AIOT_SIGNAL_FRAMER || operator->code == AIOT_SIGNAL_FFT_AUTO_SCALE ||
                    operator->code == AIOT_SIGNAL_FILTER_BANK_SPECTRAL_SUBTRACTION || operator->code == AIOT_SIGNAL_STACKER;
  const bool none = operator->code == AIOT_ASSIGN_VARIABLE || operator->code == AIOT_CALL_ONCE;
  const bool variable = operator->code == AIOT_ASSIGN_VARIABLE || operator->code == AIOT_READ_VARIABLE;
  const bool list = operator->code == AIOT_CONCATENATION || operator->code == AIOT_PACK;
  if (several ? operator->outputs.count == 0 : operator->outputs.count != (none ? 0 : pair ? 2 : 1)) return false;
  for (uint32_t i = 0; i < operator->inputs.count; i++) {
    const int32_t index = aiot_operator_input_index(operator, i);
    if (index == -1 && ((i >= kernel->least && !list) || kernel->optional >> i & 1)) continue;
    if (index < 0 || index >= network->operands) return false;
    aiot_operand *operand = &network->operand[index];
    const bool state = kernel->states >> i & 1;
    if (!operand->made && operand->data == NULL && !operand->state) return false;
    /* A state has only one user, which sets `variable`. */
    if (operand->state != state || (state && operand->last != 0)) return false;
    if ((operand->type == AIOT_RESOURCE) != (variable && i == 0)) return false;
    operand->last = time;
  }
  for (uint32_t i = 0; i < operator->outputs.count; i++) {
    const int32_t index = aiot_operator_output_index(operator, i);
    if (index < 0 || index >= network->operands) return false;
    aiot_operand *operand = &network->operand[index];
    if (operand->made || operand->data != NULL || operand->state) return false;
    if ((operand->type == AIOT_RESOURCE) != (operator->code == AIOT_VAR_HANDLE)) return false;
    operand->made = true;
    operand->first = operand->last = time;
  }
  return true;
}

/* If the operator only converts a float32 input or output, returns the tensor on its other side; otherwise the tensor itself. */
static int32_t inner_end(aiot_network *network, const aiot_operator *operator, int32_t code, int32_t end) {
  const bool first = code == AIOT_QUANTIZE;
  const aiot_vector own = first ? operator->inputs : operator->outputs, other = first ? operator->outputs : operator->inputs;
  if (network->file.broken || operator->code != code || own.count != 1 || other.count != 1) return end;
  if (network->operand[end].type != AIOT_FLOAT32 || aiot_flatbuffer_i32_at(&network->file, own, 0) != end) return end;
  const int32_t within = aiot_flatbuffer_i32_at(&network->file, other, 0);
  return within < 0 || within >= network->operands ? end : within;
}

/*
 * Index of the first layer's operator, which may follow an ADD and a MUL of the float32 input; the caller applies these. Moves
 * `input` to their output.
 */
static uint32_t behind_standardization(aiot_network *network, aiot_vector operators, aiot_vector codes, int32_t *input) {
  static const int32_t front[] = {AIOT_ADD, AIOT_MUL};
  int32_t at = *input;
  for (uint32_t i = 0; i < 2; i++) {
    if (i >= operators.count) return 0;
    const aiot_operator operator = aiot_operator_at(network, operators, codes, i);
    if (network->file.broken || operator.code != front[i] || operator.inputs.count != 2 || operator.outputs.count != 1) return 0;
    const int32_t made = aiot_operator_output_index(&operator, 0);
    if (aiot_operator_input_index(&operator, 0) != at || made < 0 || made >= network->operands) return 0;
    if (network->operand[made].type != AIOT_FLOAT32) return 0;
    at = made;
  }
  *input = at;
  return 2;
}

static aiot_code read_operators(aiot_network *network, aiot_vector operators, aiot_vector codes, uint32_t first, uint32_t end) {
  aiot_flatbuffer *file = &network->file;
  for (uint32_t i = first; i < end; i++) {
    aiot_operator operator = aiot_operator_at(network, operators, codes, i);
    const aiot_kernel *kernel = aiot_kernel_of(operator.code);
    if (file->broken) return AIOT_BUNDLE_MALFORMED;
    if (kernel == NULL) return AIOT_MODEL_UNSUPPORTED;
    if (!in_order(&operator, kernel, (int32_t)i + 1)) return AIOT_BUNDLE_MALFORMED;
    if (!operator.suited) return AIOT_BUNDLE_MALFORMED;
    const aiot_code result = kernel->prepare(&operator);
    if (result != AIOT_OK) return result;
    if (file->broken) return AIOT_BUNDLE_MALFORMED;
  }
  return AIOT_OK;
}

/* The only tensor of the network's inputs or outputs; -1 if there is none or more than one. */
static int32_t only(aiot_network *network, aiot_table graph, unsigned slot) {
  const aiot_vector list = aiot_flatbuffer_vector(&network->file, graph, slot, 4);
  const int32_t index = list.count == 1 ? aiot_flatbuffer_i32_at(&network->file, list, 0) : -1;
  return index < network->operands ? index : -1;
}

aiot_code aiot_network_read(aiot_network *network, int32_t *input, int32_t *output) {
  aiot_flatbuffer *file = &network->file;
  const aiot_table model = aiot_flatbuffer_root(file, "TFL3");
  if (file->broken) return AIOT_BUNDLE_MALFORMED;
  const aiot_vector graphs = aiot_flatbuffer_vector(file, model, 2, 4);
  if (aiot_flatbuffer_i32(file, model, 0, 0) != 3 || graphs.count < 1 || graphs.count > 2) return AIOT_MODEL_UNSUPPORTED;
  const aiot_table graph = aiot_flatbuffer_table_at(file, graphs, 0);
  const aiot_vector tensors = aiot_flatbuffer_vector(file, graph, 0, 4);
  const aiot_vector buffers = aiot_flatbuffer_vector(file, model, 4, 4);
  aiot_code code = check_buffers(file, buffers);
  if (code == AIOT_OK) code = read_operands(network, tensors, buffers);
  if (code != AIOT_OK) return code;
  *input = only(network, graph, 1);
  *output = only(network, graph, 2);
  if (*input < 0 || *output < 0) return AIOT_MODEL_UNSUPPORTED;
  const aiot_vector operators = aiot_flatbuffer_vector(file, graph, 3, 4), codes = aiot_flatbuffer_vector(file, model, 1, 4);
  uint32_t begin = 0, end = operators.count;
  if (network->float_ends && end > 1) {
    begin = behind_standardization(network, operators, codes, input);
    const aiot_operator front = aiot_operator_at(network, operators, codes, begin), back = aiot_operator_at(network, operators, codes, end - 1);
    const int32_t within = inner_end(network, &front, AIOT_QUANTIZE, *input), last = inner_end(network, &back, AIOT_DEQUANTIZE, *output);
    if (within != *input) begin++;
    if (last != *output) end--;
    *input = within;
    *output = last;
  }
  aiot_operand *first = &network->operand[*input];
  if (first->data != NULL || first->state) return AIOT_BUNDLE_MALFORMED;
  first->made = true;
  const aiot_code prepared = read_operators(network, operators, codes, begin, end);
  network->operand[*output].last = (int32_t)operators.count + 1;
  return prepared == AIOT_OK ? aiot_variables_read(network, graphs, buffers, codes) : prepared;
}

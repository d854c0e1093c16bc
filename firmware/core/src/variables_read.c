/* Reads the subgraph that CALL_ONCE runs, which assigns the initial values of variables (src/lib/formats/tflite/variables.ts). */
#include "kernels.h"
#include "variables.h"

/* The subgraph while it is read. */
typedef struct {
  aiot_network *network;
  aiot_vector tensors, buffers, operators, codes;
} initialization;

/* Whether tensor `index` is a handle that operator `of` creates. */
static bool makes_handle(const initialization *init, uint32_t of, int32_t index) {
  const aiot_operator operator = aiot_operator_at(init->network, init->operators, init->codes, of);
  return operator.code == AIOT_VAR_HANDLE && operator.outputs.count == 1 && aiot_operator_output_index(&operator, 0) == index;
}

/* Index of the operator before `before` that creates a handle; -1 = none. */
static int32_t maker_of(const initialization *init, int32_t index, uint32_t before) {
  for (uint32_t i = 0; i < before; i++)
    if (makes_handle(init, i, index)) return (int32_t)i;
  return -1;
}

static int32_t type_at(const initialization *init, int32_t index) {
  aiot_flatbuffer *file = &init->network->file;
  return aiot_flatbuffer_i8(file, aiot_flatbuffer_table_at(file, init->tensors, (uint32_t)index), 1, 0);
}

/* Checks all tensors. Those of type resource must be handles. */
static aiot_code check_tensors(const initialization *init) {
  aiot_flatbuffer *file = &init->network->file;
  for (uint32_t i = 0; i < init->tensors.count && !file->broken; i++) {
    aiot_operand operand = {0};
    const aiot_code code = aiot_operand_read(file, aiot_flatbuffer_table_at(file, init->tensors, i), init->buffers, &operand);
    if (code != AIOT_OK) return code;
    if (operand.state) return AIOT_MODEL_UNSUPPORTED;
    if (operand.type == AIOT_RESOURCE && maker_of(init, (int32_t)i, init->operators.count) < 0) return AIOT_MODEL_UNSUPPORTED;
  }
  return file->broken ? AIOT_BUNDLE_MALFORMED : AIOT_OK;
}

static aiot_code assign(const initialization *init, const aiot_operator *operator, uint32_t at) {
  aiot_network *network = init->network;
  aiot_flatbuffer *file = &network->file;
  const int32_t maker = maker_of(init, aiot_operator_input_index(operator, 0), at);
  if (maker < 0 || type_at(init, aiot_operator_input_index(operator, 1)) == AIOT_RESOURCE) return AIOT_BUNDLE_MALFORMED;
  aiot_operand value = {0};
  const uint32_t index = (uint32_t)aiot_operator_input_index(operator, 1);
  const aiot_code code = aiot_operand_read(file, aiot_flatbuffer_table_at(file, init->tensors, index), init->buffers, &value);
  if (code != AIOT_OK) return code;
  if (value.data == NULL) return AIOT_MODEL_UNSUPPORTED;
  aiot_vector name;
  const aiot_operator handle = aiot_operator_at(network, init->operators, init->codes, (uint32_t)maker);
  if (!aiot_variable_name(network, handle.options, &name)) return AIOT_BUNDLE_MALFORMED;
  aiot_variable *variable = aiot_variable_named(network, name);
  if (variable == NULL || variable->operand < 0) return AIOT_OK;
  const aiot_operand *known = &network->operand[variable->operand];
  if (value.type != known->type || !aiot_operand_shaped(&value, known->rank, known->size)) return AIOT_BUNDLE_MALFORMED;
  variable->initial = value.data;
  return AIOT_OK;
}

static aiot_code check_indices(const initialization *init, aiot_vector indices) {
  for (uint32_t i = 0; i < indices.count; i++) {
    const int32_t index = aiot_flatbuffer_i32_at(&init->network->file, indices, i);
    if (index < 0 || (uint32_t)index >= init->tensors.count) return AIOT_BUNDLE_MALFORMED;
  }
  return AIOT_OK;
}

static aiot_code run_initialization(const initialization *init) {
  aiot_flatbuffer *file = &init->network->file;
  for (uint32_t i = 0; i < init->operators.count; i++) {
    const aiot_operator operator = aiot_operator_at(init->network, init->operators, init->codes, i);
    if (file->broken) return AIOT_BUNDLE_MALFORMED;
    if (operator.code != AIOT_VAR_HANDLE && operator.code != AIOT_ASSIGN_VARIABLE) return AIOT_MODEL_UNSUPPORTED;
    const bool handle = operator.code == AIOT_VAR_HANDLE;
    if (operator.inputs.count != (handle ? 0 : 2) || operator.outputs.count != (handle ? 1 : 0)) return AIOT_BUNDLE_MALFORMED;
    if (check_indices(init, operator.inputs) != AIOT_OK || check_indices(init, operator.outputs) != AIOT_OK) return AIOT_BUNDLE_MALFORMED;
    if (!operator.suited) return AIOT_BUNDLE_MALFORMED;
    if (handle) {
      const int32_t made = aiot_operator_output_index(&operator, 0);
      if (type_at(init, made) != AIOT_RESOURCE || maker_of(init, made, i) >= 0) return AIOT_BUNDLE_MALFORMED;
      aiot_vector name;
      if (!aiot_variable_name(init->network, operator.options, &name)) return AIOT_BUNDLE_MALFORMED;
    } else {
      const aiot_code code = assign(init, &operator, i);
      if (code != AIOT_OK) return code;
    }
  }
  return file->broken ? AIOT_BUNDLE_MALFORMED : AIOT_OK;
}

aiot_code aiot_variables_read(aiot_network *network, aiot_vector graphs, aiot_vector buffers, aiot_vector codes) {
  aiot_flatbuffer *file = &network->file;
  if (graphs.count != (network->initialized ? 2 : 1)) return AIOT_MODEL_UNSUPPORTED;
  if (network->initialized) {
    const aiot_table graph = aiot_flatbuffer_table_at(file, graphs, 1);
    const initialization init = {network, aiot_flatbuffer_vector(file, graph, 0, 4), buffers, aiot_flatbuffer_vector(file, graph, 3, 4), codes};
    aiot_code code = check_tensors(&init);
    if (code == AIOT_OK) code = run_initialization(&init);
    if (code != AIOT_OK) return code;
  }
  for (int32_t i = 0; i < network->operands; i++)
    if ((network->operand[i].type == AIOT_RESOURCE || network->operand[i].state) && network->operand[i].variable == NULL) return AIOT_MODEL_UNSUPPORTED;
  for (const aiot_variable *variable = network->variables; variable != NULL; variable = variable->next)
    if (variable->operand < 0 || (!variable->assigned && variable->initial == NULL)) return AIOT_BUNDLE_MALFORMED;
  return AIOT_OK;
}

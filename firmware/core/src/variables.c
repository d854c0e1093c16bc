/*
 * Resource variables, which keep their values from run to run (src/lib/formats/tflite/variables.ts). VAR_HANDLE yields a tensor that stands
 * for the variable of its name; READ_VARIABLE and ASSIGN_VARIABLE copy from and to it. CALL_ONCE names the subgraph with initial values.
 */
#include "variables.h"

#include <string.h>

#include "kernels.h"
#include "network_read.h"
#include "quantized.h"

static bool same_text(const aiot_flatbuffer *file, aiot_vector a, aiot_vector b) {
  return a.count == b.count && memcmp(file->data + a.at, file->data + b.at, a.count) == 0;
}

/* Reads a string, which must end with its first NUL, because TFLite Micro compares strings of C. False if it does not. */
static bool read_text(aiot_flatbuffer *file, aiot_table options, unsigned slot, aiot_vector *out) {
  *out = aiot_flatbuffer_vector(file, options, slot, 1);
  if (file->broken) return false;
  if (!aiot_flatbuffer_has(file, options, slot)) return true;
  const uint32_t end = out->at + out->count;
  return end < file->bytes && memchr(file->data + out->at, 0, out->count + 1) == file->data + end;
}

/* The name in a VAR_HANDLE's options. All handles have the same container, or none. */
static bool read_name(aiot_network *network, aiot_table options, aiot_vector *name) {
  aiot_flatbuffer *file = &network->file;
  aiot_vector container;
  if (!read_text(file, options, 0, &container) || !read_text(file, options, 1, name)) return false;
  const bool first = network->handles++ == 0, known = (container.at == 0) == (network->container.at == 0);
  if (!first && !(known && same_text(file, container, network->container))) return false;
  network->container = container;
  return name->count > 0;
}

static aiot_variable *variable_named(const aiot_network *network, aiot_vector name) {
  aiot_variable *variable = network->variables;
  while (variable != NULL && !same_text(&network->file, variable->name, name)) variable = variable->next;
  return variable;
}

aiot_code aiot_prepare_var_handle(const aiot_operator *operator) {
  aiot_network *network = operator->network;
  aiot_vector name;
  if (!read_name(network, operator->options, &name)) return AIOT_BUNDLE_MALFORMED;
  aiot_variable *variable = variable_named(network, name);
  if (variable == NULL) {
    variable = aiot_arena_take(network->arena, sizeof *variable, AIOT_ALIGNMENT);
    if (variable == NULL) return AIOT_MEMORY_SHORT;
    *variable = (aiot_variable){.name = name, .operand = -1, .next = network->variables};
    network->variables = variable;
  }
  aiot_operator_output(operator, 0)->variable = variable;
  return AIOT_OK;
}

typedef struct {
  int32_t count;
} variable_plan;

static void run_variable(const aiot_step *step) {
  const variable_plan *plan = step->plan;
  memcpy(step->y, step->x, (size_t)plan->count);
}

/* READ_VARIABLE and ASSIGN_VARIABLE. The first of a variable gives it its type, shape and memory. */
aiot_code aiot_prepare_variable(const aiot_operator *operator) {
  aiot_network *network = operator->network;
  const bool assigns = operator->code == AIOT_ASSIGN_VARIABLE;
  const int32_t handle = aiot_operator_input_index(operator, 0);
  const int32_t index = assigns ? aiot_operator_input_index(operator, 1) : aiot_operator_output_index(operator, 0);
  aiot_variable *variable = network->operand[handle].variable;
  const aiot_operand *value = &network->operand[index];
  aiot_scale scale;
  if (value->type != AIOT_INT8) return AIOT_MODEL_UNSUPPORTED;
  if (!aiot_scale_of(&network->file, value, &scale)) return AIOT_BUNDLE_MALFORMED;
  if (variable->operand < 0) {
    variable->operand = index;
    variable->count = value->count;
    variable->zero = (int8_t)scale.zero_point;
    variable->value = aiot_arena_take(network->arena, (size_t)value->count, 1);
    if (variable->value == NULL) return AIOT_MEMORY_SHORT;
  }
  const aiot_operand *known = &network->operand[variable->operand];
  if (!aiot_operand_shaped(value, known->rank, known->size) || !aiot_scale_same(&network->file, value, known))
    return AIOT_BUNDLE_MALFORMED;
  variable->assigned = variable->assigned || assigns;
  variable_plan *plan = aiot_network_step(network, run_variable, sizeof *plan, assigns ? index : handle, -1, assigns ? handle : index);
  if (plan == NULL) return AIOT_MEMORY_SHORT;
  plan->count = value->count;
  return AIOT_OK;
}

/* Only one, of the second subgraph, before all variables are used. */
aiot_code aiot_prepare_call_once(const aiot_operator *operator) {
  aiot_network *network = operator->network;
  for (const aiot_variable *variable = network->variables; variable != NULL; variable = variable->next)
    if (variable->operand >= 0) return AIOT_MODEL_UNSUPPORTED;
  const int32_t subgraph = aiot_flatbuffer_i32(&network->file, operator->options, 0, 0);
  if (subgraph != 1 || network->initialized) return AIOT_MODEL_UNSUPPORTED;
  network->initialized = true;
  return AIOT_OK;
}

/* The initialization while it is read. */
typedef struct {
  aiot_network *network;
  aiot_vector tensors, buffers, operators, codes;
} initialization;

/* Whether tensor `index` is a handle, made by operator `of`. */
static bool makes_handle(const initialization *init, uint32_t of, int32_t index) {
  const aiot_operator operator = aiot_operator_at(init->network, init->operators, init->codes, of);
  return operator.code == AIOT_VAR_HANDLE && operator.outputs.count == 1 && aiot_operator_output_index(&operator, 0) == index;
}

/* Operator that makes a handle before operator `before`; -1 = none. */
static int32_t maker_of(const initialization *init, int32_t index, uint32_t before) {
  for (uint32_t i = 0; i < before; i++)
    if (makes_handle(init, i, index)) return (int32_t)i;
  return -1;
}

static int32_t type_at(const initialization *init, int32_t index) {
  aiot_flatbuffer *file = &init->network->file;
  return aiot_flatbuffer_i8(file, aiot_flatbuffer_table_at(file, init->tensors, (uint32_t)index), 1, 0);
}

/* Checks all tensors; those of type resource must be handles. */
static aiot_code check_tensors(const initialization *init) {
  aiot_flatbuffer *file = &init->network->file;
  for (uint32_t i = 0; i < init->tensors.count && !file->broken; i++) {
    aiot_operand operand = {0};
    const aiot_code code = aiot_operand_read(file, aiot_flatbuffer_table_at(file, init->tensors, i), init->buffers, &operand);
    if (code != AIOT_OK) return code;
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
  if (!read_name(network, handle.options, &name)) return AIOT_BUNDLE_MALFORMED;
  aiot_variable *variable = variable_named(network, name);
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
      if (!read_name(init->network, operator.options, &name)) return AIOT_BUNDLE_MALFORMED;
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
    if (network->operand[i].type == AIOT_RESOURCE && network->operand[i].variable == NULL) return AIOT_MODEL_UNSUPPORTED;
  for (const aiot_variable *variable = network->variables; variable != NULL; variable = variable->next)
    if (variable->operand < 0 || (!variable->assigned && variable->initial == NULL)) return AIOT_BUNDLE_MALFORMED;
  return AIOT_OK;
}

void aiot_variables_reset(const aiot_variable *variables) {
  for (const aiot_variable *variable = variables; variable != NULL; variable = variable->next) {
    const size_t bytes = (size_t)variable->count;
    if (variable->initial != NULL)
      memcpy(variable->value, variable->initial, bytes);
    else
      memset(variable->value, variable->zero, bytes);
  }
}

/*
 * Resource variables, which keep their values from run to run (src/lib/formats/tflite/variables.ts). VAR_HANDLE yields a tensor
 * that refers to a variable by name. READ_VARIABLE and ASSIGN_VARIABLE copy from and to the variable. CALL_ONCE refers to the
 * subgraph with the initial values.
 */
#include "variables.h"

#include <string.h>

#include "kernels.h"
#include "quantized.h"

static bool same_text(const aiot_flatbuffer *file, aiot_vector a, aiot_vector b) {
  return a.count == b.count && memcmp(file->data + a.at, file->data + b.at, a.count) == 0;
}

/* Reads a string. False unless its first NUL is also its end, because TFLite Micro compares C strings. */
static bool read_text(aiot_flatbuffer *file, aiot_table options, unsigned slot, aiot_vector *out) {
  *out = aiot_flatbuffer_vector(file, options, slot, 1);
  if (file->broken) return false;
  if (!aiot_flatbuffer_has(file, options, slot)) return true;
  const uint32_t end = out->at + out->count;
  return end < file->bytes && memchr(file->data + out->at, 0, out->count + 1) == file->data + end;
}

bool aiot_variable_name(aiot_network *network, aiot_table options, aiot_vector *name) {
  aiot_flatbuffer *file = &network->file;
  aiot_vector container;
  if (!read_text(file, options, 0, &container) || !read_text(file, options, 1, name)) return false;
  const bool first = network->handles++ == 0, known = (container.at == 0) == (network->container.at == 0);
  if (!first && !(known && same_text(file, container, network->container))) return false;
  network->container = container;
  return name->count > 0;
}

aiot_variable *aiot_variable_named(const aiot_network *network, aiot_vector name) {
  aiot_variable *variable = network->variables;
  while (variable != NULL && !same_text(&network->file, variable->name, name)) variable = variable->next;
  return variable;
}

aiot_code aiot_prepare_var_handle(const aiot_operator *operator) {
  aiot_network *network = operator->network;
  aiot_vector name;
  if (!aiot_variable_name(network, operator->options, &name)) return AIOT_BUNDLE_MALFORMED;
  aiot_variable *variable = aiot_variable_named(network, name);
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

/* READ_VARIABLE and ASSIGN_VARIABLE. The first of these operators for a variable determines its type, shape and
 * memory. */
aiot_code aiot_prepare_variable(const aiot_operator *operator) {
  aiot_network *network = operator->network;
  const bool assigns = operator->code == AIOT_ASSIGN_VARIABLE;
  const int32_t handle = aiot_operator_input_index(operator, 0);
  const int32_t index = assigns ? aiot_operator_input_index(operator, 1) : aiot_operator_output_index(operator, 0);
  aiot_variable *variable = network->operand[handle].variable;
  const aiot_operand *value = &network->operand[index];
  const uint32_t bytes = aiot_type_bytes(value->type);
  const uint32_t types = 1 << AIOT_INT8 | 1 << AIOT_INT16 | 1 << AIOT_INT32 | 1 << AIOT_FLOAT32 | 1 << AIOT_BOOL;
  aiot_scale scale = {1, 0};
  if (!(types >> value->type & 1)) return AIOT_MODEL_UNSUPPORTED;
  if (value->type == AIOT_INT8 && !aiot_scale_of(&network->file, value, &scale)) return AIOT_BUNDLE_MALFORMED;
  if (variable->operand < 0) {
    variable->operand = index;
    variable->count = value->count * (int32_t)bytes;
    variable->zero = (int8_t)scale.zero_point;
    variable->value = aiot_arena_take(network->arena, (size_t)value->count * bytes, bytes);
    if (variable->value == NULL) return AIOT_MEMORY_SHORT;
  }
  const aiot_operand *known = &network->operand[variable->operand];
  if (!aiot_operand_shaped(value, known->rank, known->size) || !aiot_alike(&network->file, value, known, types))
    return AIOT_BUNDLE_MALFORMED;
  variable->assigned = variable->assigned || assigns;
  variable_plan *plan = aiot_network_step(network, run_variable, sizeof *plan, assigns ? index : handle, -1, assigns ? handle : index);
  if (plan == NULL) return AIOT_MEMORY_SHORT;
  plan->count = value->count * (int32_t)bytes;
  return AIOT_OK;
}

aiot_variable *aiot_variable_state(const aiot_operator *operator, uint32_t place) {
  aiot_network *network = operator->network;
  const int32_t index = aiot_operator_input_index(operator, place);
  aiot_operand *operand = &network->operand[index];
  const size_t bytes = (size_t)operand->count * aiot_type_bytes(operand->type);
  aiot_variable *variable = aiot_arena_take(network->arena, sizeof *variable, AIOT_ALIGNMENT);
  int8_t *value = variable == NULL ? NULL : aiot_arena_take(network->arena, bytes, sizeof(float));
  if (value == NULL) return NULL;
  *variable = (aiot_variable){.value = value, .count = (int32_t)bytes, .operand = index, .assigned = true, .next = network->variables};
  aiot_scale scale;
  if (aiot_scale_of(&network->file, operand, &scale)) variable->zero = (int8_t)scale.zero_point;
  network->variables = variable;
  operand->variable = variable;
  return variable;
}

static aiot_variable *add_memory(aiot_network *network, size_t bytes) {
  aiot_variable *variable = aiot_arena_take(network->arena, sizeof *variable, AIOT_ALIGNMENT);
  int8_t *value = variable == NULL ? NULL : aiot_arena_take(network->arena, bytes, AIOT_ALIGNMENT);
  if (value == NULL) return NULL;
  *variable = (aiot_variable){.value = value, .count = (int32_t)bytes, .assigned = true, .next = network->variables};
  network->variables = variable;
  return variable;
}

void *aiot_variable_memory(aiot_network *network, size_t bytes) {
  const aiot_variable *variable = add_memory(network, bytes);
  return variable == NULL ? NULL : variable->value;
}

bool aiot_variable_output(const aiot_operator *operator, uint32_t place) {
  aiot_operand *output = aiot_operator_output(operator, place);
  output->variable = add_memory(operator->network, (size_t)output->count * aiot_type_bytes(output->type));
  return output->variable != NULL;
}

/* Accepts only one CALL_ONCE: for the second subgraph, and before any variable is used. */
aiot_code aiot_prepare_call_once(const aiot_operator *operator) {
  aiot_network *network = operator->network;
  for (const aiot_variable *variable = network->variables; variable != NULL; variable = variable->next)
    if (variable->operand >= 0 && variable->name.count > 0) return AIOT_MODEL_UNSUPPORTED;
  const int32_t subgraph = aiot_flatbuffer_i32(&network->file, operator->options, 0, 0);
  if (subgraph != 1 || network->initialized) return AIOT_MODEL_UNSUPPORTED;
  network->initialized = true;
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

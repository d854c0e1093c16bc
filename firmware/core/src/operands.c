#include "network.h"

uint32_t aiot_type_bytes(int32_t type) {
  switch (type) {
    case AIOT_INT64:
      return 8;
    case AIOT_FLOAT32:
    case AIOT_INT32:
      return 4;
    case AIOT_FLOAT16:
    case AIOT_INT16:
      return 2;
    case AIOT_UINT8:
    case AIOT_BOOL:
    case AIOT_INT8:
      return 1;
    default:
      return 0;
  }
}

int32_t aiot_operator_input_index(const aiot_operator *operator, uint32_t place) {
  return aiot_flatbuffer_i32_at(&operator->network->file, operator->inputs, place);
}

int32_t aiot_operator_output_index(const aiot_operator *operator, uint32_t place) {
  return aiot_flatbuffer_i32_at(&operator->network->file, operator->outputs, place);
}

aiot_operand *aiot_operator_input(const aiot_operator *operator, uint32_t place) {
  if (place >= operator->inputs.count) return NULL;
  const int32_t index = aiot_operator_input_index(operator, place);
  return index < 0 ? NULL : &operator->network->operand[index];
}

aiot_operand *aiot_operator_output(const aiot_operator *operator, uint32_t place) {
  if (place >= operator->outputs.count) return NULL;
  return &operator->network->operand[aiot_operator_output_index(operator, place)];
}

int32_t aiot_operand_i32(const aiot_operand *operand, int32_t index) {
  const uint8_t *byte = operand->data + 4 * index;
  return (int32_t)((uint32_t)byte[0] | (uint32_t)byte[1] << 8 | (uint32_t)byte[2] << 16 | (uint32_t)byte[3] << 24);
}

bool aiot_operand_constant(const aiot_operand *operand, int32_t type) {
  return operand != NULL && operand->data != NULL && operand->type == type;
}

bool aiot_operand_shaped(const aiot_operand *operand, int32_t rank, const int32_t *size) {
  if (operand->rank != rank) return false;
  for (int32_t axis = 0; axis < rank; axis++)
    if (operand->size[axis] != size[axis]) return false;
  return true;
}

int32_t aiot_operand_axis(const aiot_operand *operand, int32_t axis) {
  if (axis < -operand->rank || axis >= operand->rank) return -1;
  return axis < 0 ? axis + operand->rank : axis;
}

void *aiot_network_step(aiot_network *network, void (*run)(const aiot_step *step), size_t plan_bytes, int32_t from,
                        int32_t from2, int32_t to) {
  aiot_step *step = aiot_arena_take(network->arena, sizeof *step, AIOT_ALIGNMENT);
  void *plan = step == NULL ? NULL : aiot_arena_take(network->arena, plan_bytes, AIOT_ALIGNMENT);
  if (plan == NULL) return NULL;
  step->run = run;
  step->plan = plan;
  step->from = (int16_t)from;
  step->from2 = (int16_t)from2;
  step->from3 = -1;
  step->to = (int16_t)to;
  *network->end = step;
  network->end = &step->next;
  network->newest = step;
  return plan;
}

void aiot_network_third(aiot_network *network, int32_t from3) {
  network->newest->from3 = (int16_t)from3;
}

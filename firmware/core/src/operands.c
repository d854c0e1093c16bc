#include "network.h"

#include <math.h>

uint32_t aiot_type_bytes(int32_t type) {
  switch (type) {
    case AIOT_INT64:
    case AIOT_UINT64:
      return 8;
    case AIOT_FLOAT32:
    case AIOT_INT32:
    case AIOT_UINT32:
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

/* Reads a shape and counts its elements. False if it is beyond the supported range. */
static bool read_shape(aiot_flatbuffer *file, aiot_vector shape, aiot_operand *operand) {
  if (shape.count > AIOT_RANK_MAX) return false;
  operand->rank = (int32_t)shape.count;
  int64_t count = 1;
  for (uint32_t i = 0; i < shape.count; i++) {
    const int32_t size = aiot_flatbuffer_i32_at(file, shape, i);
    if (size < 1) return false;
    operand->size[i] = size;
    count *= size;
    if (count > AIOT_ELEMENTS_MAX) return false;
  }
  operand->count = (int32_t)count;
  return true;
}

/* Reads scales and zero points. Their numbers are equal: none, one, or one for each index of an axis. */
static aiot_code read_quantization(aiot_flatbuffer *file, aiot_table quantization, aiot_operand *operand) {
  operand->scale = aiot_flatbuffer_vector(file, quantization, 2, 4);
  operand->zero_point = aiot_flatbuffer_vector(file, quantization, 3, 8);
  /* A vector has only one axis, regardless of the axis field in the file. */
  operand->axis = operand->rank == 1 ? 0 : aiot_flatbuffer_i32(file, quantization, 6, 0);
  if (aiot_flatbuffer_i8(file, quantization, 4, 0) != 0) return AIOT_MODEL_UNSUPPORTED;
  const uint32_t count = operand->scale.count;
  if (operand->zero_point.count != count) return AIOT_BUNDLE_MALFORMED;
  const bool axis_exists = operand->axis >= 0 && operand->axis < operand->rank;
  if (count > 1 && !(axis_exists && (uint32_t)operand->size[operand->axis] == count)) return AIOT_BUNDLE_MALFORMED;
  for (uint32_t i = 0; i < count; i++) {
    const float scale = aiot_flatbuffer_f32_at(file, operand->scale, i);
    if (!(scale >= 0.0f && isfinite(scale))) return AIOT_BUNDLE_MALFORMED;
    /* Reading a zero point of more than 32 bits marks the file as broken. */
    (void)aiot_flatbuffer_i64_at(file, operand->zero_point, i);
  }
  return AIOT_OK;
}

aiot_code aiot_operand_read(aiot_flatbuffer *file, aiot_table tensor, aiot_vector buffers, aiot_operand *operand) {
  /* A type without a kernel is rejected by the operator that needs it. */
  operand->type = aiot_flatbuffer_i8(file, tensor, 1, 0);
  if (operand->type == AIOT_RESOURCE)
    return read_shape(file, aiot_flatbuffer_vector(file, tensor, 0, 4), operand) && operand->rank <= 1 && operand->count == 1
               ? AIOT_OK
               : AIOT_BUNDLE_MALFORMED;
  if (aiot_type_bytes(operand->type) == 0) return AIOT_MODEL_UNSUPPORTED;
  operand->state = aiot_flatbuffer_i8(file, tensor, 5, 0) != 0;
  /* Rejects sparse and variant tensors. */
  if (aiot_flatbuffer_has(file, tensor, 6) || aiot_flatbuffer_has(file, tensor, 9))
    return AIOT_MODEL_UNSUPPORTED;
  if (!read_shape(file, aiot_flatbuffer_vector(file, tensor, 0, 4), operand)) return AIOT_MODEL_UNSUPPORTED;
  const aiot_code code = read_quantization(file, aiot_flatbuffer_table(file, tensor, 4), operand);
  if (code != AIOT_OK) return code;
  const int32_t at = aiot_flatbuffer_i32(file, tensor, 2, 0);
  if (at < 0) return AIOT_BUNDLE_MALFORMED;
  const aiot_vector data = aiot_flatbuffer_vector(file, aiot_flatbuffer_table_at(file, buffers, (uint32_t)at), 0, 1);
  if (data.count == 0) return AIOT_OK;
  if (data.count != (uint32_t)operand->count * aiot_type_bytes(operand->type)) return AIOT_BUNDLE_MALFORMED;
  operand->data = file->data + data.at;
  return operand->state ? AIOT_BUNDLE_MALFORMED : AIOT_OK;
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

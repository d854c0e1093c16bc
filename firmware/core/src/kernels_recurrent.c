/* Operators on int8 (and LSTM on int16) whose state persists between runs, like those of src/lib/runtime/interpreter/recurrent.ts. */
#include <math.h>
#include <string.h>

#include "fixed_functions.h"
#include "kernels.h"
#include "quantized.h"
#include "real.h"
#include "variables.h"

/* Reads an element of an int8 or little-endian int16 array in the file, where int16s may be unaligned. */
static int32_t integer_at(const uint8_t *data, bool wide, int32_t index) {
  if (!wide) return (int8_t)data[index];
  return (int16_t)(uint16_t)(data[2 * index] | data[2 * index + 1] << 8);
}

typedef struct {
  const int8_t *feature;
  const uint8_t *time, *bias;
  int8_t *state;
  /* Whether the time weights and the state are int16. */
  bool wide;
  int32_t batches, inputs, filters, memory, rank;
  int32_t input_zero, state_zero, output_zero;
  aiot_ratio first, second;
} svdf_plan;

/* Moves the values of all filters back by one step. The place of each filter's newest value is overwritten later. */
static void shift_back(const svdf_plan *plan) {
  const size_t size = plan->wide ? sizeof(int16_t) : 1;
  memmove(plan->state, plan->state + size, size * (size_t)(plan->batches * plan->filters * plan->memory - 1));
}

static int32_t state_at(const svdf_plan *plan, int32_t index) {
  int16_t wide;
  if (!plan->wide) return plan->state[index];
  memcpy(&wide, plan->state + 2 * index, sizeof wide);
  return wide;
}

/* The zero point is added after clamping, so the sum can wrap, as in the reference kernel. */
static void set_state(const svdf_plan *plan, int32_t index, int32_t value) {
  const aiot_range range = plan->wide ? (aiot_range){INT16_MIN, INT16_MAX} : (aiot_range){INT8_MIN, INT8_MAX};
  const int16_t wide = (int16_t)((value < range.low ? range.low : value > range.high ? range.high : value) + plan->state_zero);
  if (plan->wide)
    memcpy(plan->state + 2 * index, &wide, sizeof wide);
  else
    plan->state[index] = (int8_t)wide;
}

static void run_svdf(const aiot_step *step) {
  const svdf_plan *plan = step->plan;
  const int8_t *x = step->x;
  int8_t *y = step->y;
  const aiot_operand bias = {.data = plan->bias};
  const int32_t memory = plan->memory, rank = plan->rank, units = plan->filters / rank;
  shift_back(plan);
  for (int32_t batch = 0; batch < plan->batches; batch++, x += plan->inputs) {
    const int32_t base = batch * plan->filters * memory;
    const int8_t *feature = plan->feature;
    for (int32_t filter = 0; filter < plan->filters; filter++) {
      uint32_t sum = 0;
      for (int32_t i = 0; i < plan->inputs; i++) sum += (uint32_t)(*feature++ * (x[i] - plan->input_zero));
      set_state(plan, base + (filter + 1) * memory - 1, aiot_ratio_times((int32_t)sum, plan->first));
    }
    for (int32_t unit = 0; unit < units; unit++) {
      uint32_t sum = (uint32_t)aiot_operand_i32(&bias, unit);
      for (int32_t i = unit * rank * memory; i < (unit + 1) * rank * memory; i++)
        sum += (uint32_t)(integer_at(plan->time, plan->wide, i) * (state_at(plan, base + i) - plan->state_zero));
      *y++ = aiot_range_clamp((aiot_range){INT8_MIN, INT8_MAX}, aiot_ratio_times((int32_t)sum, plan->second) + plan->output_zero);
    }
  }
}

/* Reads the scale of symmetric weights; false if their zero point is not 0. */
static bool symmetric(aiot_flatbuffer *file, const aiot_operand *weights, float *out) {
  aiot_scale scale;
  const bool read = aiot_integer_scale_of(file, weights, &scale);
  *out = read ? (float)scale.scale : 0.0f;
  return read && scale.zero_point == 0;
}

/*
 * SVDF. Each filter stores its last values. Each unit adds up the dot products of the values of `rank` filters with the time
 * weights.
 */
aiot_code aiot_prepare_svdf(const aiot_operator *operator) {
  if (aiot_is_real(aiot_operator_input(operator, 0))) return aiot_prepare_real_svdf(operator);
  aiot_flatbuffer *file = &operator->network->file;
  const aiot_operand *x = aiot_operator_input(operator, 0), *feature = aiot_operator_input(operator, 1);
  const aiot_operand *time = aiot_operator_input(operator, 2), *bias = aiot_operator_input(operator, 3);
  const aiot_operand *state = aiot_operator_input(operator, 4), *y = aiot_operator_output(operator, 0);
  const int32_t rank = aiot_flatbuffer_i32(file, operator->options, 0, 0), activation = aiot_flatbuffer_i8(file, operator->options, 1, 0);
  if (aiot_flatbuffer_i8(file, operator->options, 2, 0) != 0) return AIOT_MODEL_UNSUPPORTED;
  if (bias == NULL || rank < 1 || activation < 0 || activation > 3) return AIOT_BUNDLE_MALFORMED;
  if (!aiot_operand_constant(feature, AIOT_INT8) || !aiot_operand_constant(time, time->type) || !aiot_operand_constant(bias, AIOT_INT32))
    return AIOT_MODEL_UNSUPPORTED;
  if (x->rank != 2 || feature->rank != 2 || time->rank != 2 || state->rank != 2) return AIOT_BUNDLE_MALFORMED;
  const int32_t batches = x->size[0], filters = feature->size[0], memory = time->size[1], units = filters / rank;
  if (feature->size[1] != x->size[1] || time->size[0] != filters || filters % rank != 0 || bias->count != units) return AIOT_BUNDLE_MALFORMED;
  if (state->size[0] != batches || state->size[1] != (int64_t)filters * memory) return AIOT_BUNDLE_MALFORMED;
  if (!aiot_operand_shaped(y, 2, (int32_t[]){batches, units})) return AIOT_BUNDLE_MALFORMED;
  aiot_scale input, output, states;
  float feature_scale, time_scale;
  if (!aiot_scale_of(file, x, &input) || !aiot_scale_of(file, y, &output) || !aiot_integer_scale_of(file, state, &states)) return AIOT_BUNDLE_MALFORMED;
  if (!symmetric(file, feature, &feature_scale) || !symmetric(file, time, &time_scale)) return AIOT_BUNDLE_MALFORMED;
  const bool wide = state->type == AIOT_INT16;
  if (time->type != state->type || (wide && states.zero_point != 0)) return AIOT_BUNDLE_MALFORMED;
  /* Other interpreters ignore the activation, so it is accepted only if the output's range implies it. */
  if (activation > 1 || (activation == 1 && output.zero_point != INT8_MIN)) return AIOT_MODEL_UNSUPPORTED;
  const float product = (float)states.scale * time_scale, own = bias->scale.count == 0 ? 0.0f : aiot_flatbuffer_f32_at(file, bias->scale, 0);
  if (!(fabs((double)own - (double)product) < 1e-5)) return AIOT_BUNDLE_MALFORMED;
  svdf_plan *plan = aiot_network_step(operator->network, run_svdf, sizeof *plan, aiot_operator_input_index(operator, 0), -1,
                                      aiot_operator_output_index(operator, 0));
  const aiot_variable *variable = plan == NULL ? NULL : aiot_variable_state(operator, 4);
  if (variable == NULL) return AIOT_MEMORY_SHORT;
  *plan = (svdf_plan){.feature = (const int8_t *)feature->data, .time = time->data, .bias = bias->data, .state = variable->value, .wide = wide,
                      .batches = batches, .inputs = x->size[1], .filters = filters, .memory = memory, .rank = rank,
                      .input_zero = input.zero_point, .state_zero = states.zero_point, .output_zero = output.zero_point};
  const bool first = aiot_ratio_of((double)((float)input.scale * feature_scale / (float)states.scale), &plan->first);
  return first && aiot_ratio_of((double)(product / (float)output.scale), &plan->second) ? AIOT_OK : AIOT_BUNDLE_MALFORMED;
}

static int32_t clamp16(int32_t value) {
  return value < INT16_MIN ? INT16_MIN : value > INT16_MAX ? INT16_MAX : value;
}

enum { INPUT_GATE, FORGET_GATE, CELL_GATE, OUTPUT_GATE, GATES };
enum { FIRST_WEIGHTS = 1, FIRST_RECURRENT = 5, FIRST_BIAS = 12, HIDDEN_STATE = 18, CELL_STATE = 19 };

typedef struct {
  const int8_t *weights, *recurrent;
  const uint8_t *bias;
  aiot_ratio own, past;
} lstm_gate;

typedef struct {
  lstm_gate gate[GATES];
  int8_t *hidden;
  int8_t *cell;
  bool time_major;
  /* Type of the input, the hidden state and the output: AIOT_INT8 or AIOT_INT16. */
  int32_t type;
  int32_t batches, steps, inputs, units;
  int32_t input_zero, hidden_zero;
  aiot_ratio keep, add, give;
  aiot_range clip;
  /* The input of tanh is the cell times `up` or, if `down` > 0, three times the cell, shifted right by `down` bits with rounding. */
  int32_t up, down;
} lstm_plan;

/* The sum of a gate in Q3.12. Both dot products are rounded and clamped before they are added. */
static int32_t wide_gate_sum(const lstm_plan *plan, const lstm_gate *gate, const int8_t *x, const int8_t *hidden, int32_t unit) {
  const aiot_operand bias = {.data = gate->bias};
  const int8_t *w = gate->weights + unit * plan->inputs, *r = gate->recurrent + unit * plan->units;
  const uint32_t low = (uint32_t)aiot_operand_i32(&bias, 2 * unit);
  int64_t own = (int64_t)((uint64_t)(uint32_t)aiot_operand_i32(&bias, 2 * unit + 1) << 32 | low), past = 0;
  for (int32_t i = 0; i < plan->inputs; i++) own += w[i] * aiot_load(x, AIOT_INT16, i);
  for (int32_t i = 0; i < plan->units; i++) past += r[i] * aiot_load(hidden, AIOT_INT16, i);
  return clamp16(clamp16(aiot_ratio_times_wide(own, gate->own)) + clamp16(aiot_ratio_times_wide(past, gate->past)));
}

static int32_t gate_sum(const lstm_plan *plan, int32_t which, const int8_t *x, const int8_t *hidden, int32_t unit) {
  const lstm_gate *gate = &plan->gate[which];
  if (plan->type == AIOT_INT16) return wide_gate_sum(plan, gate, x, hidden, unit);
  const aiot_operand bias = {.data = gate->bias};
  const int8_t *w = gate->weights + unit * plan->inputs, *r = gate->recurrent + unit * plan->units;
  uint32_t own = (uint32_t)aiot_operand_i32(&bias, unit), past = 0;
  for (int32_t i = 0; i < plan->inputs; i++) own += (uint32_t)(w[i] * (x[i] - plan->input_zero));
  for (int32_t i = 0; i < plan->units; i++) past += (uint32_t)(r[i] * (hidden[i] - plan->hidden_zero));
  return clamp16(clamp16(aiot_ratio_times((int32_t)own, gate->own)) + clamp16(aiot_ratio_times((int32_t)past, gate->past)));
}

static int32_t run_unit(const lstm_plan *plan, const int8_t *x, const int8_t *hidden, int8_t *cell, int32_t unit) {
  int16_t state;
  memcpy(&state, cell, sizeof state);
  const int32_t forget = aiot_logistic16(3 * gate_sum(plan, FORGET_GATE, x, hidden, unit));
  const int32_t entered = aiot_logistic16(3 * gate_sum(plan, INPUT_GATE, x, hidden, unit));
  const int32_t candidate = aiot_tanh16(3 * gate_sum(plan, CELL_GATE, x, hidden, unit));
  const int32_t kept = clamp16(aiot_ratio_times(forget * state, plan->keep));
  const int32_t sum = clamp16(kept + clamp16(aiot_ratio_times(entered * candidate, plan->add)));
  state = (int16_t)(sum < plan->clip.low ? plan->clip.low : sum > plan->clip.high ? plan->clip.high : sum);
  memcpy(cell, &state, sizeof state);
  const int32_t scaled = plan->down == 0 ? state * plan->up : (3 * state + (1 << (plan->down - 1))) >> plan->down;
  const int32_t given = aiot_logistic16(3 * gate_sum(plan, OUTPUT_GATE, x, hidden, unit)) * aiot_tanh16(scaled);
  return aiot_range_limit(aiot_range_whole(plan->type), aiot_ratio_times(given, plan->give) + plan->hidden_zero);
}

static void run_lstm(const aiot_step *step) {
  const lstm_plan *plan = step->plan;
  for (int32_t batch = 0; batch < plan->batches; batch++) {
    const int32_t bytes = (int32_t)aiot_type_bytes(plan->type);
    int8_t *hidden = plan->hidden + batch * plan->units * bytes, *cell = plan->cell + batch * plan->units * 2;
    for (int32_t time = 0; time < plan->steps; time++) {
      const int32_t row = plan->time_major ? time * plan->batches + batch : batch * plan->steps + time;
      const int8_t *x = step->x + row * plan->inputs * bytes;
      int8_t *y = step->y + row * plan->units * bytes;
      for (int32_t unit = 0; unit < plan->units; unit++) aiot_store(y, plan->type, unit, run_unit(plan, x, hidden, cell + 2 * unit, unit));
      memcpy(hidden, y, (size_t)(plan->units * bytes));
    }
  }
}

static aiot_code prepare_gate(const aiot_operator *operator, int32_t which, const lstm_plan *plan, double input, double hidden, lstm_gate *gate) {
  aiot_flatbuffer *file = &operator->network->file;
  const aiot_operand *weights = aiot_operator_input(operator, (uint32_t)(FIRST_WEIGHTS + which));
  const aiot_operand *recurrent = aiot_operator_input(operator, (uint32_t)(FIRST_RECURRENT + which));
  const aiot_operand *bias = aiot_operator_input(operator, (uint32_t)(FIRST_BIAS + which));
  const bool wide = plan->type == AIOT_INT16;
  if (!aiot_operand_constant(weights, AIOT_INT8) || !aiot_operand_constant(recurrent, AIOT_INT8) ||
      !aiot_operand_constant(bias, wide ? AIOT_INT64 : AIOT_INT32))
    return AIOT_MODEL_UNSUPPORTED;
  if (!aiot_operand_shaped(weights, 2, (int32_t[]){plan->units, plan->inputs}) || !aiot_operand_shaped(recurrent, 2, (int32_t[]){plan->units, plan->units}) ||
      !aiot_operand_shaped(bias, 1, &plan->units))
    return AIOT_BUNDLE_MALFORMED;
  float own, past;
  if (!symmetric(file, weights, &own) || !symmetric(file, recurrent, &past)) return AIOT_BUNDLE_MALFORMED;
  /* The factor 4096 converts the sums to Q3.12. */
  const double own_ratio = (double)((float)input * own) * 4096.0, past_ratio = (double)((float)hidden * past) * 4096.0;
  const int64_t most = (int64_t)1 << 46;
  for (int32_t i = 0; wide && i < bias->count; i++) {
    const int64_t value = (int64_t)((uint64_t)(uint32_t)aiot_operand_i32(bias, 2 * i + 1) << 32 | (uint32_t)aiot_operand_i32(bias, 2 * i));
    if (value > most || value < -most) return AIOT_MODEL_UNSUPPORTED;
  }
  *gate = (lstm_gate){.weights = (const int8_t *)weights->data, .recurrent = (const int8_t *)recurrent->data, .bias = bias->data};
  return aiot_ratio_of(own_ratio, &gate->own) && aiot_ratio_of(past_ratio, &gate->past) ? AIOT_OK : AIOT_BUNDLE_MALFORMED;
}

/*
 * Whether the operator has the activation tanh, and no peepholes, projection, layer normalization, asymmetrically quantized
 * inputs or diagonal recurrent weights.
 */
static bool plain(const aiot_operator *operator) {
  static const uint8_t others[] = {9, 10, 11, 16, 17, 20, 21, 22, 23};
  for (size_t i = 0; i < sizeof others; i++)
    if (aiot_operator_input(operator, others[i]) != NULL) return false;
  aiot_flatbuffer *file = &operator->network->file;
  return aiot_flatbuffer_i8(file, operator->options, 0, 0) == 4 && aiot_flatbuffer_i8(file, operator->options, 4, 0) == 0 &&
         aiot_flatbuffer_i8(file, operator->options, 5, 0) == 0;
}

aiot_code aiot_prepare_lstm(const aiot_operator *operator) {
  aiot_network *network = operator->network;
  aiot_flatbuffer *file = &network->file;
  const aiot_operand *x = aiot_operator_input(operator, 0), *y = aiot_operator_output(operator, 0);
  const aiot_operand *hidden = aiot_operator_input(operator, HIDDEN_STATE), *cell = aiot_operator_input(operator, CELL_STATE);
  if (!plain(operator)) return AIOT_MODEL_UNSUPPORTED;
  if (aiot_is_real(x)) return aiot_prepare_real_lstm(operator);
  if (x->rank != 3 || hidden->rank != 2 || cell->type != AIOT_INT16) return AIOT_BUNDLE_MALFORMED;
  const bool time_major = aiot_flatbuffer_i8(file, operator->options, 3, 0) != 0;
  const int32_t batches = x->size[time_major ? 1 : 0], steps = x->size[time_major ? 0 : 1], units = hidden->size[1];
  if (!aiot_operand_shaped(y, 3, (int32_t[]){x->size[0], x->size[1], units}) || !aiot_operand_shaped(hidden, 2, (int32_t[]){batches, units}) ||
      !aiot_operand_shaped(cell, 2, (int32_t[]){batches, units}))
    return AIOT_BUNDLE_MALFORMED;
  aiot_scale input, cells, output;
  if (x->type != y->type || !aiot_activation_scale_of(file, x, &input) || !aiot_activation_scale_of(file, y, &output) ||
      !aiot_scale_equal(file, hidden, y))
    return AIOT_BUNDLE_MALFORMED;
  if (!aiot_integer_scale_of(file, cell, &cells) || cells.zero_point != 0) return AIOT_BUNDLE_MALFORMED;
  int power;
  const double clip = (double)aiot_flatbuffer_f32(file, operator->options, 1, 0.0f);
  if (frexp(cells.scale, &power) != 0.5 || power - 1 < -15 || power - 1 > -9 || !(clip >= 0.0)) return AIOT_MODEL_UNSUPPORTED;
  lstm_plan *plan = aiot_network_step(network, run_lstm, sizeof *plan, aiot_operator_input_index(operator, 0), -1, aiot_operator_output_index(operator, 0));
  const aiot_variable *hidden_state = plan == NULL ? NULL : aiot_variable_state(operator, HIDDEN_STATE);
  const aiot_variable *cell_state = hidden_state == NULL ? NULL : aiot_variable_state(operator, CELL_STATE);
  if (cell_state == NULL) return AIOT_MEMORY_SHORT;
  const double most = (double)((float)clip / (float)cells.scale);
  const int32_t limit = most > 32767.0 ? 32767 : (int32_t)most, shift = 12 + power - 1;
  *plan = (lstm_plan){.hidden = hidden_state->value, .cell = cell_state->value, .time_major = time_major, .type = x->type, .batches = batches, .steps = steps,
                      .inputs = x->size[2], .units = units, .input_zero = input.zero_point, .hidden_zero = output.zero_point,
                      .clip = clip > 0.0 ? (aiot_range){-limit, limit} : (aiot_range){INT16_MIN, INT16_MAX},
                      .up = shift > 0 ? 3 << shift : 3, .down = shift < 0 ? -shift : 0};
  const double unit = 1.0 / 32768.0;
  if (!aiot_ratio_of(unit, &plan->keep) || !aiot_ratio_of(unit * unit / cells.scale, &plan->add) || !aiot_ratio_of(unit * unit / output.scale, &plan->give))
    return AIOT_BUNDLE_MALFORMED;
  for (int32_t which = 0; which < GATES; which++) {
    const aiot_code code = prepare_gate(operator, which, plan, input.scale, output.scale, &plan->gate[which]);
    if (code != AIOT_OK) return code;
  }
  return AIOT_OK;
}

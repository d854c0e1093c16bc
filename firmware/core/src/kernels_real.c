/*
 * Operators on float32, for layers that a quantizer leaves in float32: functions of one value, dense layers, convolutions, SVDF and LSTM.
 * The other operators on float32 are in the files of their integer kernels. Functions of math.h are computed in double precision, so that
 * their results, rounded to single precision, are the same everywhere.
 */
#include <math.h>

#include "kernels.h"
#include "real.h"
#include "variables.h"
#include "window_axes.h"

typedef struct {
  int32_t code, count;
  float alpha;
} values_plan;

static float real_of(const values_plan *plan, float x) {
  const double wide = (double)x;
  const float three = x + 3.0f;
  switch (plan->code) {
    case AIOT_ABS:
      return fabsf(x);
    case AIOT_NEG:
      return -x;
    case AIOT_SQRT:
      return sqrtf(x);
    case AIOT_RSQRT:
      return 1.0f / sqrtf(x);
    case AIOT_SQUARE:
      return x * x;
    case AIOT_FLOOR:
      return floorf(x);
    case AIOT_CEIL:
      return ceilf(x);
    case AIOT_ROUND:
      /* -0.3 becomes 0, not -0. */
      return x == 0.0f ? x : rintf(x) + 0.0f;
    case AIOT_EXP:
      return (float)exp(wide);
    case AIOT_LOG:
      return (float)log(wide);
    case AIOT_SIN:
      return (float)sin(wide);
    case AIOT_COS:
      return (float)cos(wide);
    case AIOT_TANH:
      return (float)tanh(wide);
    case AIOT_LOGISTIC:
      return (float)(1.0 / (1.0 + exp(-wide)));
    case AIOT_ELU:
      return x < 0.0f ? (float)expm1(wide) : x;
    case AIOT_RELU:
      return x < 0.0f ? 0.0f : x;
    case AIOT_RELU6:
      return x < 0.0f ? 0.0f : x > 6.0f ? 6.0f : x;
    case AIOT_LEAKY_RELU:
      return x < 0.0f ? plan->alpha * x : x;
    default:
      return x * (three < 0.0f ? 0.0f : three > 6.0f ? 6.0f : three) / 6.0f;
  }
}

static void run_values(const aiot_step *step) {
  const values_plan *plan = step->plan;
  for (int32_t i = 0; i < plan->count; i++) aiot_real_set(step->y, i, real_of(plan, aiot_real_at(step->x, i)));
}

aiot_code aiot_prepare_real_values(const aiot_operator *operator) {
  const aiot_operand *x = aiot_operator_input(operator, 0), *y = aiot_operator_output(operator, 0);
  if (x == NULL || y == NULL || x->count != y->count) return AIOT_BUNDLE_MALFORMED;
  if (!aiot_is_real(x)) return AIOT_MODEL_UNSUPPORTED;
  if (!aiot_is_real(y)) return AIOT_BUNDLE_MALFORMED;
  values_plan *plan = aiot_network_step(operator->network, run_values, sizeof *plan, aiot_operator_input_index(operator, 0), -1,
                                        aiot_operator_output_index(operator, 0));
  if (plan == NULL) return AIOT_MEMORY_SHORT;
  const bool leaky = operator->code == AIOT_LEAKY_RELU;
  *plan = (values_plan){operator->code, x->count, leaky ? aiot_flatbuffer_f32(&operator->network->file, operator->options, 0, 0.0f) : 0.0f};
  return AIOT_OK;
}

/* A layer. Without a bias, `bias` is NULL. */
typedef struct {
  const int8_t *weights, *bias;
  int32_t batches, channels, outputs, taken, activation;
  aiot_axis rows, columns;
} layer_plan;

static double bias_of(const layer_plan *plan, int32_t out) {
  return plan->bias == NULL ? 0.0 : (double)aiot_real_at(plan->bias, out);
}

/* Products are exact in double precision. */
static double dot(const int8_t *weights, int32_t w, const int8_t *x, int32_t from, int32_t count) {
  double sum = 0.0;
  for (int32_t i = 0; i < count; i++) sum += (double)aiot_real_at(weights, w + i) * (double)aiot_real_at(x, from + i);
  return sum;
}

static void run_fully_connected(const aiot_step *step) {
  const layer_plan *plan = step->plan;
  int32_t to = 0;
  for (int32_t row = 0; row < plan->batches; row++)
    for (int32_t out = 0; out < plan->outputs; out++) {
      const double sum = dot(plan->weights, out * plan->taken, step->x, row * plan->taken, plan->taken);
      aiot_real_set(step->y, to++, (float)aiot_real_limit(plan->activation, bias_of(plan, out) + sum));
    }
}

/* Constant weights and bias of a layer whose first input is x. */
static aiot_code weights_of(const aiot_operator *operator, uint32_t bias_place, int32_t outputs, layer_plan *plan) {
  const aiot_operand *weights = aiot_operator_input(operator, 1), *bias = aiot_operator_input(operator, bias_place);
  if (!aiot_is_real(aiot_operator_output(operator, 0))) return AIOT_BUNDLE_MALFORMED;
  if (bias != NULL && !aiot_operand_constant(bias, AIOT_FLOAT32)) return AIOT_MODEL_UNSUPPORTED;
  if (bias != NULL && bias->count != outputs) return AIOT_BUNDLE_MALFORMED;
  plan->weights = (const int8_t *)weights->data;
  plan->bias = bias == NULL ? NULL : (const int8_t *)bias->data;
  plan->outputs = outputs;
  return aiot_real_activation(plan->activation) ? AIOT_OK : AIOT_MODEL_UNSUPPORTED;
}

static layer_plan *add_layer(const aiot_operator *operator, void (*run)(const aiot_step *), uint32_t place) {
  return aiot_network_step(operator->network, run, sizeof(layer_plan), aiot_operator_input_index(operator, place), -1,
                           aiot_operator_output_index(operator, 0));
}

aiot_code aiot_prepare_real_fully_connected(const aiot_operator *operator) {
  aiot_flatbuffer *file = &operator->network->file;
  const aiot_operand *x = aiot_operator_input(operator, 0), *weights = aiot_operator_input(operator, 1);
  const aiot_operand *y = aiot_operator_output(operator, 0);
  if (!aiot_operand_constant(weights, AIOT_FLOAT32)) return AIOT_MODEL_UNSUPPORTED;
  if (weights->rank != 2 || x->count % weights->size[1] != 0) return AIOT_BUNDLE_MALFORMED;
  const int32_t rows = x->count / weights->size[1];
  if ((int64_t)rows * weights->size[0] != y->count) return AIOT_BUNDLE_MALFORMED;
  if (y->rank < 1 || y->size[y->rank - 1] != weights->size[0]) return AIOT_BUNDLE_MALFORMED;
  if (aiot_flatbuffer_i8(file, operator->options, 1, 0) != 0) return AIOT_MODEL_UNSUPPORTED;
  layer_plan *plan = add_layer(operator, run_fully_connected, 0);
  if (plan == NULL) return AIOT_MEMORY_SHORT;
  *plan = (layer_plan){.batches = rows, .taken = weights->size[1], .activation = aiot_flatbuffer_i8(file, operator->options, 0, 0)};
  return weights_of(operator, 2, weights->size[0], plan);
}

/* CONV_2D if `taken` channels are multiplied at each cell; DEPTHWISE_CONV_2D if it is 0. */
static double window_sum(const layer_plan *plan, const int8_t *x, int32_t start, int32_t out, int32_t row, int32_t column) {
  const aiot_axis *rows = &plan->rows, *columns = &plan->columns;
  const int32_t last_row = aiot_axis_end(rows, row), first = aiot_axis_first(columns, column), end = aiot_axis_end(columns, column);
  const bool depthwise = plan->taken == 0;
  const int32_t channel = depthwise ? out / (plan->outputs / plan->channels) : out / (plan->outputs / (plan->channels / plan->taken)) * plan->taken;
  /* A depthwise sum begins with the bias. */
  double sum = depthwise ? bias_of(plan, out) : 0.0;
  for (int32_t r = aiot_axis_first(rows, row); r < last_row; r++)
    for (int32_t c = first; c < end; c++) {
      const int32_t line = row * rows->stride - rows->before + r * rows->dilation;
      const int32_t cell = column * columns->stride - columns->before + c * columns->dilation;
      const int32_t from = start + (line * columns->input + cell) * plan->channels + channel;
      if (depthwise) {
        const int32_t w = (r * columns->filter + c) * plan->outputs + out;
        sum += (double)aiot_real_at(plan->weights, w) * (double)aiot_real_at(x, from);
        continue;
      }
      const int32_t w = ((out * rows->filter + r) * columns->filter + c) * plan->taken;
      for (int32_t i = 0; i < plan->taken; i++) sum += (double)aiot_real_at(plan->weights, w + i) * (double)aiot_real_at(x, from + i);
    }
  return depthwise ? sum : bias_of(plan, out) + sum;
}

static void run_window(const aiot_step *step) {
  const layer_plan *plan = step->plan;
  int32_t to = 0;
  for (int32_t batch = 0; batch < plan->batches; batch++) {
    const int32_t start = batch * plan->rows.input * plan->columns.input * plan->channels;
    for (int32_t row = 0; row < plan->rows.output; row++)
      for (int32_t column = 0; column < plan->columns.output; column++)
        for (int32_t out = 0; out < plan->outputs; out++)
          aiot_real_set(step->y, to++, (float)aiot_real_limit(plan->activation, window_sum(plan, step->x, start, out, row, column)));
  }
}

aiot_code aiot_prepare_real_window(const aiot_operator *operator) {
  aiot_flatbuffer *file = &operator->network->file;
  const bool depthwise = operator->code == AIOT_DEPTHWISE_CONV_2D;
  const aiot_operand *x = aiot_operator_input(operator, 0), *weights = aiot_operator_input(operator, 1);
  if (!aiot_operand_constant(weights, AIOT_FLOAT32)) return AIOT_MODEL_UNSUPPORTED;
  if (x->rank != 4 || weights->rank != 4) return AIOT_BUNDLE_MALFORMED;
  const int32_t channels = x->size[3], taken = depthwise ? 0 : weights->size[3], outputs = weights->size[depthwise ? 3 : 0];
  if (depthwise ? weights->size[0] != 1 || outputs % channels != 0 || (int64_t)aiot_flatbuffer_i32(file, operator->options, 3, 0) * channels != outputs
                : channels % taken != 0 || outputs % (channels / taken) != 0)
    return AIOT_BUNDLE_MALFORMED;
  layer_plan *plan = add_layer(operator, run_window, 0);
  if (plan == NULL) return AIOT_MEMORY_SHORT;
  /* The depth multiplier shifts the slots of the options. */
  const unsigned activation = depthwise ? 4 : 3;
  aiot_axis axes[2] = {
      {.filter = weights->size[1],
       .stride = aiot_flatbuffer_i32(file, operator->options, 2, 0),
       .dilation = aiot_flatbuffer_i32(file, operator->options, activation + 2, 1)},
      {.filter = weights->size[2],
       .stride = aiot_flatbuffer_i32(file, operator->options, 1, 0),
       .dilation = aiot_flatbuffer_i32(file, operator->options, activation + 1, 1)},
  };
  if (!aiot_axes_of(x, aiot_operator_output(operator, 0), aiot_flatbuffer_i8(file, operator->options, 0, 0), outputs, axes)) return AIOT_BUNDLE_MALFORMED;
  *plan = (layer_plan){.batches = x->size[0], .channels = channels, .taken = taken, .rows = axes[0], .columns = axes[1],
                       .activation = aiot_flatbuffer_i8(file, operator->options, activation, 0)};
  return weights_of(operator, 2, outputs, plan);
}

/* The sum of an output cell over the input cells whose windows include it. The plan's rows and columns are those of the output image. */
static float transposed_sum(const layer_plan *plan, const int8_t *x, int32_t start, int32_t out, int32_t row, int32_t column) {
  float sum = 0.0f;
  for (int32_t line = 0; line < plan->rows.output; line++) {
    const int32_t r = row - (line * plan->rows.stride - plan->rows.before);
    if (r < 0 || r >= plan->rows.filter) continue;
    for (int32_t cell = 0; cell < plan->columns.output; cell++) {
      const int32_t c = column - (cell * plan->columns.stride - plan->columns.before);
      if (c < 0 || c >= plan->columns.filter) continue;
      const int32_t w = ((out * plan->rows.filter + r) * plan->columns.filter + c) * plan->taken;
      const int32_t from = start + (line * plan->columns.output + cell) * plan->taken;
      for (int32_t k = 0; k < plan->taken; k++)
        sum += aiot_real_product(aiot_real_at(x, from + k), aiot_real_at(plan->weights, w + k));
    }
  }
  return sum;
}

static void run_transpose_convolution(const aiot_step *step) {
  const layer_plan *plan = step->plan;
  int32_t to = 0;
  for (int32_t batch = 0; batch < plan->batches; batch++) {
    const int32_t start = batch * plan->rows.output * plan->columns.output * plan->taken;
    for (int32_t row = 0; row < plan->rows.input; row++)
      for (int32_t column = 0; column < plan->columns.input; column++)
        for (int32_t out = 0; out < plan->outputs; out++) {
          const float value = transposed_sum(plan, step->x, start, out, row, column) + (float)bias_of(plan, out);
          aiot_real_set(step->y, to++, (float)aiot_real_limit(plan->activation, (double)value));
        }
  }
}

/* Inputs: the output's shape, the filter [out, kh, kw, in], x, and the optional bias. */
aiot_code aiot_prepare_real_transpose_convolution(const aiot_operator *operator) {
  aiot_flatbuffer *file = &operator->network->file;
  const aiot_operand *wanted = aiot_operator_input(operator, 0), *weights = aiot_operator_input(operator, 1);
  const aiot_operand *x = aiot_operator_input(operator, 2), *y = aiot_operator_output(operator, 0);
  if (!aiot_operand_constant(weights, AIOT_FLOAT32) || !aiot_operand_constant(wanted, AIOT_INT32)) return AIOT_MODEL_UNSUPPORTED;
  if (x->rank != 4 || weights->rank != 4 || y->rank != 4 || wanted->count != 4) return AIOT_BUNDLE_MALFORMED;
  for (int32_t axis = 0; axis < 4; axis++)
    if (aiot_operand_i32(wanted, axis) != y->size[axis]) return AIOT_BUNDLE_MALFORMED;
  if (weights->size[3] != x->size[3] || weights->size[0] != y->size[3]) return AIOT_BUNDLE_MALFORMED;
  layer_plan *plan = add_layer(operator, run_transpose_convolution, 2);
  if (plan == NULL) return AIOT_MEMORY_SHORT;
  aiot_axis axes[2] = {
      {.filter = weights->size[1], .stride = aiot_flatbuffer_i32(file, operator->options, 2, 0), .dilation = 1},
      {.filter = weights->size[2], .stride = aiot_flatbuffer_i32(file, operator->options, 1, 0), .dilation = 1},
  };
  /* A transposed convolution has the geometry of a convolution from its output to its input. */
  if (!aiot_axes_of(y, x, aiot_flatbuffer_i8(file, operator->options, 0, 0), x->size[3], axes)) return AIOT_BUNDLE_MALFORMED;
  *plan = (layer_plan){.batches = x->size[0], .channels = x->size[3], .taken = x->size[3], .rows = axes[0], .columns = axes[1],
                       .activation = aiot_flatbuffer_i8(file, operator->options, 3, 0)};
  return weights_of(operator, 3, weights->size[0], plan);
}

/* The sum of products, with each step rounded to single precision. */
static float single_dot(const int8_t *a, int32_t at, const int8_t *b, int32_t other, int32_t count) {
  float sum = 0.0f;
  for (int32_t i = 0; i < count; i++) sum += aiot_real_product(aiot_real_at(a, at + i), aiot_real_at(b, other + i));
  return sum;
}

typedef struct {
  const int8_t *feature, *time, *bias;
  int8_t *state;
  int32_t batches, inputs, filters, memory, rank, activation;
} svdf_plan;

static void run_svdf(const aiot_step *step) {
  const svdf_plan *plan = step->plan;
  const int32_t memory = plan->memory, units = plan->filters / plan->rank;
  memmove(plan->state, plan->state + sizeof(float), sizeof(float) * (size_t)(plan->batches * plan->filters * memory - 1));
  for (int32_t batch = 0; batch < plan->batches; batch++) {
    const int32_t base = batch * plan->filters * memory;
    for (int32_t filter = 0; filter < plan->filters; filter++)
      aiot_real_set(plan->state, base + (filter + 1) * memory - 1,
                    single_dot(plan->feature, filter * plan->inputs, step->x, batch * plan->inputs, plan->inputs));
    for (int32_t unit = 0; unit < units; unit++) {
      float value = plan->bias == NULL ? 0.0f : aiot_real_at(plan->bias, unit);
      for (int32_t filter = unit * plan->rank; filter < (unit + 1) * plan->rank; filter++)
        value += single_dot(plan->time, filter * memory, plan->state, base + filter * memory, memory);
      aiot_real_set(step->y, batch * units + unit, (float)aiot_real_limit(plan->activation, (double)value));
    }
  }
}

aiot_code aiot_prepare_real_svdf(const aiot_operator *operator) {
  aiot_flatbuffer *file = &operator->network->file;
  const aiot_operand *x = aiot_operator_input(operator, 0), *feature = aiot_operator_input(operator, 1);
  const aiot_operand *time = aiot_operator_input(operator, 2), *bias = aiot_operator_input(operator, 3);
  const aiot_operand *state = aiot_operator_input(operator, 4), *y = aiot_operator_output(operator, 0);
  const int32_t rank = aiot_flatbuffer_i32(file, operator->options, 0, 0), activation = aiot_flatbuffer_i8(file, operator->options, 1, 0);
  if (aiot_flatbuffer_i8(file, operator->options, 2, 0) != 0) return AIOT_MODEL_UNSUPPORTED;
  if (rank < 1 || !aiot_real_activation(activation) || !aiot_is_real(y) || !aiot_is_real(state)) return AIOT_BUNDLE_MALFORMED;
  if (!aiot_operand_constant(feature, AIOT_FLOAT32) || !aiot_operand_constant(time, AIOT_FLOAT32)) return AIOT_MODEL_UNSUPPORTED;
  if (bias != NULL && !aiot_operand_constant(bias, AIOT_FLOAT32)) return AIOT_MODEL_UNSUPPORTED;
  if (x->rank != 2 || feature->rank != 2 || time->rank != 2 || state->rank != 2) return AIOT_BUNDLE_MALFORMED;
  const int32_t batches = x->size[0], filters = feature->size[0], memory = time->size[1], units = filters / rank;
  if (feature->size[1] != x->size[1] || time->size[0] != filters || filters % rank != 0) return AIOT_BUNDLE_MALFORMED;
  if (bias != NULL && bias->count != units) return AIOT_BUNDLE_MALFORMED;
  if (state->size[0] != batches || state->size[1] != (int64_t)filters * memory) return AIOT_BUNDLE_MALFORMED;
  if (!aiot_operand_shaped(y, 2, (int32_t[]){batches, units})) return AIOT_BUNDLE_MALFORMED;
  svdf_plan *plan = aiot_network_step(operator->network, run_svdf, sizeof *plan, aiot_operator_input_index(operator, 0), -1,
                                      aiot_operator_output_index(operator, 0));
  const aiot_variable *variable = plan == NULL ? NULL : aiot_variable_state(operator, 4);
  if (variable == NULL) return AIOT_MEMORY_SHORT;
  *plan = (svdf_plan){.feature = (const int8_t *)feature->data, .time = (const int8_t *)time->data,
                      .bias = bias == NULL ? NULL : (const int8_t *)bias->data, .state = variable->value, .batches = batches,
                      .inputs = x->size[1], .filters = filters, .memory = memory, .rank = rank, .activation = activation};
  return AIOT_OK;
}

enum { INPUT_GATE, FORGET_GATE, CELL_GATE, OUTPUT_GATE, GATES };
enum { FIRST_WEIGHTS = 1, FIRST_RECURRENT = 5, FIRST_BIAS = 12, HIDDEN_STATE = 18, CELL_STATE = 19 };

typedef struct {
  const int8_t *weights[GATES], *recurrent[GATES], *bias[GATES];
  int8_t *hidden, *cell;
  bool time_major;
  int32_t batches, steps, inputs, units;
  /* 0 = none. */
  float clip;
} lstm_plan;

static float gate_sum(const lstm_plan *plan, int32_t gate, const int8_t *x, int32_t row, int32_t batch, int32_t unit) {
  const float own = single_dot(plan->weights[gate], unit * plan->inputs, x, row * plan->inputs, plan->inputs);
  const float past = single_dot(plan->recurrent[gate], unit * plan->units, plan->hidden, batch * plan->units, plan->units);
  return own + aiot_real_at(plan->bias[gate], unit) + past;
}

/* 1 / (1 + e^-x), with each step rounded to single precision. */
static float logistic(float x) {
  return 1.0f / (1.0f + (float)exp(-(double)x));
}

static float hyperbolic(float x) {
  return (float)tanh((double)x);
}

static void run_row(const lstm_plan *plan, const aiot_step *step, int32_t batch, int32_t row) {
  for (int32_t unit = 0; unit < plan->units; unit++) {
    const int32_t at = batch * plan->units + unit;
    const float kept = aiot_real_product(logistic(gate_sum(plan, FORGET_GATE, step->x, row, batch, unit)), aiot_real_at(plan->cell, at));
    const float added = aiot_real_product(logistic(gate_sum(plan, INPUT_GATE, step->x, row, batch, unit)),
                                          hyperbolic(gate_sum(plan, CELL_GATE, step->x, row, batch, unit)));
    float value = kept + added;
    if (plan->clip > 0.0f) value = value < -plan->clip ? -plan->clip : value > plan->clip ? plan->clip : value;
    aiot_real_set(plan->cell, at, value);
    const float gate = logistic(gate_sum(plan, OUTPUT_GATE, step->x, row, batch, unit));
    aiot_real_set(step->y, row * plan->units + unit, aiot_real_product(gate, hyperbolic(value)));
  }
  memcpy(plan->hidden + sizeof(float) * (size_t)(batch * plan->units), step->y + sizeof(float) * (size_t)(row * plan->units),
         sizeof(float) * (size_t)plan->units);
}

static void run_lstm(const aiot_step *step) {
  const lstm_plan *plan = step->plan;
  for (int32_t batch = 0; batch < plan->batches; batch++)
    for (int32_t time = 0; time < plan->steps; time++)
      run_row(plan, step, batch, plan->time_major ? time * plan->batches + batch : batch * plan->steps + time);
}

/* The caller has checked that the operator has only these inputs (kernels_recurrent.c). */
aiot_code aiot_prepare_real_lstm(const aiot_operator *operator) {
  aiot_network *network = operator->network;
  const aiot_operand *x = aiot_operator_input(operator, 0), *y = aiot_operator_output(operator, 0);
  const aiot_operand *hidden = aiot_operator_input(operator, HIDDEN_STATE), *cell = aiot_operator_input(operator, CELL_STATE);
  if (x->rank != 3 || !aiot_is_real(y) || !aiot_is_real(hidden) || !aiot_is_real(cell) || hidden->rank != 2) return AIOT_BUNDLE_MALFORMED;
  const bool time_major = aiot_flatbuffer_i8(&network->file, operator->options, 3, 0) != 0;
  const int32_t batches = x->size[time_major ? 1 : 0], steps = x->size[time_major ? 0 : 1], inputs = x->size[2], units = hidden->size[1];
  if (!aiot_operand_shaped(y, 3, (int32_t[]){x->size[0], x->size[1], units}) || !aiot_operand_shaped(hidden, 2, (int32_t[]){batches, units}) ||
      !aiot_operand_shaped(cell, 2, (int32_t[]){batches, units}))
    return AIOT_BUNDLE_MALFORMED;
  const float clip = aiot_flatbuffer_f32(&network->file, operator->options, 1, 0.0f);
  if (!(clip >= 0.0f)) return AIOT_MODEL_UNSUPPORTED;
  lstm_plan *plan = aiot_network_step(network, run_lstm, sizeof *plan, aiot_operator_input_index(operator, 0), -1, aiot_operator_output_index(operator, 0));
  const aiot_variable *hidden_state = plan == NULL ? NULL : aiot_variable_state(operator, HIDDEN_STATE);
  const aiot_variable *cell_state = hidden_state == NULL ? NULL : aiot_variable_state(operator, CELL_STATE);
  if (cell_state == NULL) return AIOT_MEMORY_SHORT;
  *plan = (lstm_plan){.hidden = hidden_state->value, .cell = cell_state->value, .time_major = time_major, .batches = batches, .steps = steps,
                      .inputs = inputs, .units = units, .clip = clip};
  for (uint32_t gate = 0; gate < GATES; gate++) {
    const aiot_operand *weights = aiot_operator_input(operator, FIRST_WEIGHTS + gate), *recurrent = aiot_operator_input(operator, FIRST_RECURRENT + gate);
    const aiot_operand *bias = aiot_operator_input(operator, FIRST_BIAS + gate);
    if (!aiot_operand_constant(weights, AIOT_FLOAT32) || !aiot_operand_constant(recurrent, AIOT_FLOAT32) || !aiot_operand_constant(bias, AIOT_FLOAT32))
      return AIOT_MODEL_UNSUPPORTED;
    if (!aiot_operand_shaped(weights, 2, (int32_t[]){units, inputs}) || !aiot_operand_shaped(recurrent, 2, (int32_t[]){units, units}) ||
        !aiot_operand_shaped(bias, 1, &units))
      return AIOT_BUNDLE_MALFORMED;
    plan->weights[gate] = (const int8_t *)weights->data;
    plan->recurrent[gate] = (const int8_t *)recurrent->data;
    plan->bias[gate] = (const int8_t *)bias->data;
  }
  return AIOT_OK;
}

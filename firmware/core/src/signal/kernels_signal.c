/*
 * The operators of TensorFlow Lite Micro's audio front end, in integers, like those of src/lib/runtime/interpreter/custom.ts. Tensors of
 * more than one byte per element are aligned in memory, but constants in the file are not.
 */
#include <string.h>

#include "../kernels.h"
#include "../variables.h"
#include "../quantized.h"
#include "front_end.h"
#include "sample_transform.h"

/* An option of an operator: its key and its range. */
typedef struct {
  const char *key;
  int32_t least, most;
} option;

enum { OPTIONS_MAX = 9, MOST = 1 << 16 };

/* Reads an operator's options, which are in alphabetical order. */
static aiot_code read_options(const aiot_operator *operator, const option *options, size_t count, int32_t *values) {
  const char *keys[OPTIONS_MAX] = {NULL};
  for (size_t i = 0; i < count; i++) keys[i] = options[i].key;
  if (!aiot_flexbuffer_map(&operator->network->file, operator->custom, keys, count, values)) return AIOT_BUNDLE_MALFORMED;
  for (size_t i = 0; i < count; i++)
    if (values[i] < options[i].least || values[i] > options[i].most) return AIOT_MODEL_UNSUPPORTED;
  return AIOT_OK;
}

/* An input must be computed, because a constant in the file is not aligned. */
static aiot_code check_activation(const aiot_operand *x, int32_t type, int32_t rank) {
  if (x->type != type || (rank >= 0 && x->rank != rank)) return AIOT_BUNDLE_MALFORMED;
  return x->data == NULL ? AIOT_OK : AIOT_MODEL_UNSUPPORTED;
}

static bool is_output(const aiot_operand *y, int32_t type, const aiot_operand *like) {
  return y->type == type && aiot_operand_shaped(y, like->rank, like->size);
}

static bool is_scalar(const aiot_operand *y, int32_t type) {
  return y->type == type && y->rank == 0;
}

static bool is_vector(const aiot_operand *y, int32_t type, int64_t count) {
  return y->type == type && y->rank == 1 && y->size[0] == count;
}

/* Whether an input is a constant vector of int16. */
static bool is_table(const aiot_operand *table) {
  return aiot_operand_constant(table, AIOT_INT16) && table->rank == 1;
}

static int32_t entry(const uint8_t *table, int32_t index) {
  return (int16_t)(uint16_t)(table[2 * index] | table[2 * index + 1] << 8);
}

/* Adds a step from the first input to the first output. */
static void *add_step(const aiot_operator *operator, void (*run)(const aiot_step *step), size_t plan_bytes, int32_t second) {
  return aiot_network_step(operator->network, run, plan_bytes, aiot_operator_input_index(operator, 0), second,
                           aiot_operator_output_index(operator, 0));
}

typedef struct {
  const void *from;
  size_t bytes;
} second_plan;

static void run_second(const aiot_step *step) {
  const second_plan *plan = step->plan;
  memcpy(step->y, plan->from, plan->bytes);
}

/* Adds a step that copies a part of the operator's state to its second output. */
static aiot_code add_second(const aiot_operator *operator, const void *from, size_t bytes) {
  second_plan *plan = aiot_network_step(operator->network, run_second, sizeof *plan, -1, -1, aiot_operator_output_index(operator, 1));
  if (plan == NULL) return AIOT_MEMORY_SHORT;
  *plan = (second_plan){from, bytes};
  return AIOT_OK;
}

/* State of SIGNAL_FRAMER and SIGNAL_STACKER, followed by the history. */
typedef struct {
  /* Number of values in each row of the history. */
  int32_t count;
  /* Whether there was a frame. */
  uint8_t begun;
  /* Whether the output is complete: the second output. */
  uint8_t complete;
} stream;

typedef struct {
  stream *own;
  int16_t *history;
  int32_t rows, frames, size, step, capacity, prefill;
} framer_plan;

static void run_framer(const aiot_step *step) {
  const framer_plan *plan = step->plan;
  const int16_t *x = (const void *)step->x;
  int16_t *y = (void *)step->y;
  int32_t count = 0;
  plan->own->complete = 1;
  for (int32_t row = 0; row < plan->rows; row++) {
    int16_t *history = plan->history + row * plan->capacity;
    count = plan->own->count + plan->prefill;
    for (int32_t frame = 0; frame < plan->frames; frame++, x += plan->step, y += plan->size) {
      memcpy(history + count, x, (size_t)plan->step * sizeof *x);
      count += plan->step;
      if (count < plan->size) {
        plan->own->complete = 0;
        continue;
      }
      memcpy(y, history, (size_t)plan->size * sizeof *y);
      count -= plan->step;
      memmove(history, history + plan->step, (size_t)count * sizeof *history);
    }
  }
  plan->own->count = count - plan->prefill;
}

/*
 * SIGNAL_FRAMER: overlapping frames of a stream. An incomplete frame keeps its previous values, so that its tensor must persist between
 * runs.
 */
aiot_code aiot_prepare_framer(const aiot_operator *operator) {
  static const option options[] = {{"frame_size", 1, MOST}, {"frame_step", 1, MOST}, {"prefill", 0, 1}};
  int32_t value[3];
  aiot_code code = read_options(operator, options, 3, value);
  if (code != AIOT_OK) return code;
  const aiot_operand *x = aiot_operator_input(operator, 0), *y = aiot_operator_output(operator, 0);
  code = check_activation(x, AIOT_INT16, -1);
  if (code != AIOT_OK) return code;
  const int32_t size = value[0], step = value[1], length = x->rank == 0 ? 1 : x->size[x->rank - 1], rows = x->count / length;
  if (step > size) return AIOT_MODEL_UNSUPPORTED;
  if (length % step != 0 || y->type != AIOT_INT16 || y->rank != x->rank + 1) return AIOT_BUNDLE_MALFORMED;
  const int32_t frames = length / step, capacity = (size + step - 1) / step * step, prefill = value[2] != 0 ? size - step : 0;
  if ((int64_t)rows * frames * size != y->count || !is_scalar(aiot_operator_output(operator, 1), AIOT_BOOL)) return AIOT_BUNDLE_MALFORMED;
  if ((int64_t)rows * capacity > AIOT_ELEMENTS_MAX) return AIOT_MODEL_UNSUPPORTED;
  framer_plan *plan = add_step(operator, run_framer, sizeof *plan, -1);
  stream *own = plan == NULL ? NULL : aiot_variable_memory(operator->network, sizeof *own);
  int16_t *history = own == NULL ? NULL : aiot_variable_memory(operator->network, (size_t)(rows * capacity) * sizeof *history);
  if (history == NULL) return AIOT_MEMORY_SHORT;
  *plan = (framer_plan){own, history, rows, frames, size, step, capacity, prefill};
  if (prefill + step < size && !aiot_variable_output(operator, 0)) return AIOT_MEMORY_SHORT;
  return add_second(operator, &own->complete, 1);
}

typedef struct {
  const uint8_t *weights;
  int32_t count, size, shift;
} window_plan;

static void run_window(const aiot_step *step) {
  const window_plan *plan = step->plan;
  const int16_t *x = (const void *)step->x;
  int16_t *y = (void *)step->y;
  for (int32_t i = 0, k = 0; i < plan->count; i++, k = k + 1 == plan->size ? 0 : k + 1) {
    const int32_t product = x[i] * entry(plan->weights, k) >> plan->shift;
    y[i] = (int16_t)(product < INT16_MIN ? INT16_MIN : product > INT16_MAX ? INT16_MAX : product);
  }
}

/* SIGNAL_WINDOW: each product is shifted, and limited to int16. */
aiot_code aiot_prepare_window(const aiot_operator *operator) {
  static const option options[] = {{"shift", 0, 31}};
  int32_t shift;
  aiot_code code = read_options(operator, options, 1, &shift);
  const aiot_operand *x = aiot_operator_input(operator, 0), *weights = aiot_operator_input(operator, 1);
  if (code == AIOT_OK) code = check_activation(x, AIOT_INT16, -1);
  if (code != AIOT_OK) return code;
  if (!is_table(weights)) return AIOT_MODEL_UNSUPPORTED;
  if (!is_output(aiot_operator_output(operator, 0), AIOT_INT16, x) || x->count % weights->count != 0) return AIOT_BUNDLE_MALFORMED;
  window_plan *plan = add_step(operator, run_window, sizeof *plan, -1);
  if (plan == NULL) return AIOT_MEMORY_SHORT;
  *plan = (window_plan){weights->data, x->count, weights->count, shift};
  return AIOT_OK;
}

typedef struct {
  /* Number of bits by which the samples were shifted: the second output. */
  int32_t *bits;
  int32_t count;
} scale_plan;

static void run_auto_scale(const aiot_step *step) {
  const scale_plan *plan = step->plan;
  const int16_t *x = (const void *)step->x;
  int16_t *y = (void *)step->y;
  int32_t most = 0;
  for (int32_t i = 0; i < plan->count; i++) {
    if (x[i] > most) most = x[i];
    else if (-x[i] > most) most = aiot_wrap16(-x[i]);
  }
  const int32_t used = most < 0 ? 32 : (int32_t)aiot_bits_of((uint32_t)most);
  /* Silence is not scaled: TFLite Micro takes the number of bits of 0 as 32. */
  *plan->bits = most == 0 || used > 15 ? 0 : 15 - used;
  for (int32_t i = 0; i < plan->count; i++) y[i] = aiot_wrap16((int32_t)((uint32_t)(int32_t)x[i] << *plan->bits));
}

/* SIGNAL_FFT_AUTO_SCALE. The magnitude of -32768 wraps to a negative number, as in TFLite Micro. */
aiot_code aiot_prepare_auto_scale(const aiot_operator *operator) {
  const aiot_operand *x = aiot_operator_input(operator, 0);
  const aiot_code code = check_activation(x, AIOT_INT16, 1);
  if (code != AIOT_OK) return code;
  if (!is_output(aiot_operator_output(operator, 0), AIOT_INT16, x) || !is_scalar(aiot_operator_output(operator, 1), AIOT_INT32))
    return AIOT_BUNDLE_MALFORMED;
  scale_plan *plan = add_step(operator, run_auto_scale, sizeof *plan, -1);
  int32_t *bits = plan == NULL ? NULL : aiot_arena_take(operator->network->arena, sizeof *bits, sizeof *bits);
  if (bits == NULL) return AIOT_MEMORY_SHORT;
  *plan = (scale_plan){bits, x->count};
  return add_second(operator, bits, sizeof *bits);
}

typedef struct {
  aiot_transform transform;
  /* A row that is padded with zeros; NULL if rows need no padding. */
  int16_t *padded;
  int32_t rows, size;
} transform_plan;

static void run_transform(const aiot_step *step) {
  const transform_plan *plan = step->plan;
  const int16_t *x = (const void *)step->x;
  int16_t *y = (void *)step->y;
  for (int32_t row = 0; row < plan->rows; row++, x += plan->size) {
    if (plan->padded != NULL) memcpy(plan->padded, x, (size_t)plan->size * sizeof *x);
    aiot_transform_run(&plan->transform, plan->padded != NULL ? plan->padded : x);
    for (size_t bin = 0; bin <= plan->transform.length / 2; bin++) {
      *y++ = plan->transform.re[bin];
      *y++ = plan->transform.im[bin];
    }
  }
}

typedef struct {
  aiot_sample_transform transform;
  /* A row of the input, padded with zeros, and of the output. */
  int32_t *in, *out;
  int32_t rows, taken, given, type;
} samples_plan;

static void run_samples(const aiot_step *step) {
  const samples_plan *plan = step->plan;
  for (int32_t row = 0; row < plan->rows; row++) {
    for (int32_t i = 0; i < plan->taken; i++) plan->in[i] = aiot_load(step->x, plan->type, row * plan->taken + i);
    aiot_sample_transform_run(&plan->transform, plan->in, plan->out);
    for (int32_t i = 0; i < plan->given; i++) aiot_store(step->y, plan->type, row * plan->given + i, plan->out[i]);
  }
}

typedef struct {
  aiot_real_transform transform;
  float *in;
  int32_t rows, taken, given;
} reals_plan;

static void run_reals(const aiot_step *step) {
  const reals_plan *plan = step->plan;
  const float *x = (const void *)step->x;
  float *y = (void *)step->y;
  for (int32_t row = 0; row < plan->rows; row++, x += plan->taken, y += plan->given) {
    memcpy(plan->in, x, (size_t)plan->taken * sizeof *x);
    aiot_real_transform_run(&plan->transform, plan->in, y);
  }
}

static aiot_code add_reals(const aiot_operator *operator, int32_t length, int32_t rows, int32_t taken, int32_t given) {
  aiot_arena *arena = operator->network->arena;
  const size_t room = ((size_t)length + 2) * sizeof(float);
  reals_plan *plan = add_step(operator, run_reals, sizeof *plan, -1);
  if (plan == NULL || !aiot_real_transform_open(&plan->transform, (size_t)length, operator->code == AIOT_SIGNAL_IRFFT, arena))
    return AIOT_MEMORY_SHORT;
  plan->in = aiot_arena_take(arena, room, sizeof(float));
  if (plan->in == NULL) return AIOT_MEMORY_SHORT;
  /* Beyond `taken` values, the row stays 0. */
  memset(plan->in, 0, room);
  plan->rows = rows;
  plan->taken = taken;
  plan->given = given;
  return AIOT_OK;
}

/* SIGNAL_RFFT of int32 and float32, and SIGNAL_IRFFT. */
static aiot_code prepare_samples(const aiot_operator *operator, int32_t length, int32_t type) {
  const bool inverse = operator->code == AIOT_SIGNAL_IRFFT;
  const aiot_operand *x = aiot_operator_input(operator, 0), *y = aiot_operator_output(operator, 0);
  const int32_t last = x->rank - 1, taken = last < 0 ? 1 : x->size[last], given = inverse ? length : length + 2;
  int32_t shape[AIOT_RANK_MAX] = {given};
  for (int32_t axis = 0; axis <= last; axis++) shape[axis] = axis == last ? given : x->size[axis];
  if ((inverse ? taken != length + 2 : taken > length) || y->type != type || !aiot_operand_shaped(y, last < 0 ? 1 : x->rank, shape))
    return AIOT_BUNDLE_MALFORMED;
  if (type == AIOT_FLOAT32) return add_reals(operator, length, x->count / taken, taken, given);
  aiot_arena *arena = operator->network->arena;
  samples_plan *plan = add_step(operator, run_samples, sizeof *plan, -1);
  if (plan == NULL || !aiot_sample_transform_open(&plan->transform, (size_t)length, type == AIOT_INT16 ? 15 : 31, inverse, arena))
    return AIOT_MEMORY_SHORT;
  const size_t room = ((size_t)length + 2) * sizeof(int32_t);
  plan->in = aiot_arena_take(arena, room, sizeof(int32_t));
  plan->out = aiot_arena_take(arena, room, sizeof(int32_t));
  if (plan->in == NULL || plan->out == NULL) return AIOT_MEMORY_SHORT;
  memset(plan->in, 0, room);
  plan->rows = x->count / taken;
  plan->taken = taken;
  plan->given = given;
  plan->type = type;
  return AIOT_OK;
}

/* SIGNAL_RFFT and SIGNAL_IRFFT: a transform of each row, which is padded with zeros. */
aiot_code aiot_prepare_transform(const aiot_operator *operator) {
  static const option options[] = {{"T", AIOT_FLOAT32, AIOT_INT16}, {"fft_length", 4, AIOT_TRANSFORM_MAX}};
  int32_t value[2];
  aiot_code code = read_options(operator, options, 2, value);
  const aiot_operand *x = aiot_operator_input(operator, 0), *y = aiot_operator_output(operator, 0);
  if (code == AIOT_OK && value[0] != AIOT_INT16 && value[0] != AIOT_INT32 && value[0] != AIOT_FLOAT32) code = AIOT_MODEL_UNSUPPORTED;
  if (code == AIOT_OK) code = check_activation(x, value[0], -1);
  if (code != AIOT_OK) return code;
  if ((value[1] & (value[1] - 1)) != 0) return AIOT_MODEL_UNSUPPORTED;
  if (value[0] != AIOT_INT16 || operator->code == AIOT_SIGNAL_IRFFT) return prepare_samples(operator, value[1], value[0]);
  const int32_t length = value[1], last = x->rank - 1, size = last < 0 ? 1 : x->size[last];
  int32_t shape[AIOT_RANK_MAX] = {length + 2};
  for (int32_t axis = 0; axis <= last; axis++) shape[axis] = axis == last ? length + 2 : x->size[axis];
  if (size > length || y->type != AIOT_INT16 || !aiot_operand_shaped(y, last < 0 ? 1 : x->rank, shape)) return AIOT_BUNDLE_MALFORMED;
  transform_plan *plan = add_step(operator, run_transform, sizeof *plan, -1);
  if (plan == NULL || !aiot_transform_open(&plan->transform, (size_t)length, operator->network->arena)) return AIOT_MEMORY_SHORT;
  plan->rows = x->count / size;
  plan->size = size;
  if (size == length) return AIOT_OK;
  plan->padded = aiot_arena_take(operator->network->arena, (size_t)length * sizeof(int16_t), sizeof(int16_t));
  return plan->padded == NULL ? AIOT_MEMORY_SHORT : AIOT_OK;
}

typedef struct {
  int16_t *history;
  int32_t rows, size, delay;
} delay_plan;

static void run_delay(const aiot_step *step) {
  const delay_plan *plan = step->plan;
  const int32_t kept = plan->delay < plan->size ? plan->delay : plan->size;
  for (int32_t row = 0; row < plan->rows; row++) {
    int16_t *history = plan->history + row * plan->delay;
    const int8_t *x = step->x + 2 * row * plan->size;
    int8_t *y = step->y + 2 * row * plan->size;
    memcpy(y, history, (size_t)kept * 2);
    memcpy(y + 2 * kept, x, (size_t)(plan->size - kept) * 2);
    memmove(history, history + kept, (size_t)(plan->delay - kept) * 2);
    memcpy(history + plan->delay - kept, x + 2 * (plan->size - kept), (size_t)kept * 2);
  }
}

/* SIGNAL_DELAY: each row follows the last samples of the previous runs. */
aiot_code aiot_prepare_delay(const aiot_operator *operator) {
  static const option options[] = {{"delay_length", 1, MOST}};
  int32_t length;
  aiot_code code = read_options(operator, options, 1, &length);
  const aiot_operand *x = aiot_operator_input(operator, 0);
  if (code == AIOT_OK) code = check_activation(x, AIOT_INT16, -1);
  if (code != AIOT_OK) return code;
  if (!is_output(aiot_operator_output(operator, 0), AIOT_INT16, x)) return AIOT_BUNDLE_MALFORMED;
  const int32_t size = x->rank == 0 ? 1 : x->size[x->rank - 1], rows = x->count / size;
  if ((int64_t)rows * length > AIOT_ELEMENTS_MAX) return AIOT_MODEL_UNSUPPORTED;
  delay_plan *plan = add_step(operator, run_delay, sizeof *plan, -1);
  int16_t *history = plan == NULL ? NULL : aiot_variable_memory(operator->network, (size_t)(rows * length) * sizeof *history);
  if (history == NULL) return AIOT_MEMORY_SHORT;
  *plan = (delay_plan){history, rows, size, length};
  return AIOT_OK;
}

typedef struct {
  int8_t *sums;
  int32_t rows, frames, size, step;
  /* Bytes of a sample: 2 = int16, 4 = float32. */
  size_t bytes;
} overlap_plan;

/* Adds a frame to the sums. Those of int16 are limited. */
static void add_frame(const overlap_plan *plan, int8_t *sums, const int8_t *x) {
  if (plan->bytes == sizeof(float)) {
    float *to = (void *)sums;
    const float *from = (const void *)x;
    for (int32_t i = 0; i < plan->size; i++) to[i] += from[i];
    return;
  }
  int16_t *to = (void *)sums;
  const int16_t *from = (const void *)x;
  for (int32_t i = 0; i < plan->size; i++) to[i] = (int16_t)aiot_range_limit(aiot_range_whole(AIOT_INT16), to[i] + from[i]);
}

static void run_overlap_add(const aiot_step *step) {
  const overlap_plan *plan = step->plan;
  const int8_t *x = step->x;
  int8_t *y = step->y;
  const size_t frame = (size_t)plan->size * plan->bytes, given = (size_t)plan->step * plan->bytes;
  for (int32_t row = 0; row < plan->rows; row++) {
    int8_t *sums = plan->sums + (size_t)row * frame;
    for (int32_t i = 0; i < plan->frames; i++, x += frame, y += given) {
      add_frame(plan, sums, x);
      memcpy(y, sums, given);
      memmove(sums, sums + given, frame - given);
      memset(sums + (frame - given), 0, given);
    }
  }
}

/* SIGNAL_OVERLAP_ADD of int16 and float32. */
aiot_code aiot_prepare_overlap_add(const aiot_operator *operator) {
  static const option options[] = {{"T", AIOT_FLOAT32, AIOT_INT16}, {"frame_step", 1, MOST}};
  int32_t value[2];
  aiot_code code = read_options(operator, options, 2, value);
  const aiot_operand *x = aiot_operator_input(operator, 0), *y = aiot_operator_output(operator, 0);
  if (code == AIOT_OK && value[0] != AIOT_INT16 && value[0] != AIOT_FLOAT32) code = AIOT_MODEL_UNSUPPORTED;
  if (code == AIOT_OK) code = check_activation(x, value[0], -1);
  if (code != AIOT_OK) return code;
  if (x->rank < 2 || y->type != value[0] || y->rank != x->rank - 1) return AIOT_BUNDLE_MALFORMED;
  const int32_t size = x->size[x->rank - 1], frames = x->size[x->rank - 2], rows = x->count / size / frames;
  if (value[1] > size) return AIOT_MODEL_UNSUPPORTED;
  if ((int64_t)rows * frames * value[1] != y->count) return AIOT_BUNDLE_MALFORMED;
  const size_t bytes = aiot_type_bytes(value[0]);
  overlap_plan *plan = add_step(operator, run_overlap_add, sizeof *plan, -1);
  int8_t *sums = plan == NULL ? NULL : aiot_variable_memory(operator->network, (size_t)(rows * size) * bytes);
  if (sums == NULL) return AIOT_MEMORY_SHORT;
  *plan = (overlap_plan){sums, rows, frames, size, value[1], bytes};
  return AIOT_OK;
}

typedef struct {
  int32_t start, end;
} energy_plan;

static void run_energy(const aiot_step *step) {
  const energy_plan *plan = step->plan;
  const int16_t *x = (const void *)step->x;
  uint32_t *y = (void *)step->y;
  for (int32_t i = plan->start; i < plan->end; i++) {
    const int32_t re = x[2 * i], im = x[2 * i + 1];
    y[i] = (uint32_t)(re * re) + (uint32_t)(im * im);
  }
}

/* SIGNAL_ENERGY. Bins outside the range stay 0, so that their tensor must persist between runs. */
aiot_code aiot_prepare_energy(const aiot_operator *operator) {
  static const option options[] = {{"end_index", 0, MOST}, {"start_index", 0, MOST}};
  int32_t value[2];
  aiot_code code = read_options(operator, options, 2, value);
  const aiot_operand *x = aiot_operator_input(operator, 0), *y = aiot_operator_output(operator, 0);
  if (code == AIOT_OK) code = check_activation(x, AIOT_INT16, 1);
  if (code != AIOT_OK) return code;
  const int32_t end = value[0], start = value[1];
  if (y->type != AIOT_UINT32 || y->rank != 1 || 2 * end > x->count || end > y->count) return AIOT_BUNDLE_MALFORMED;
  energy_plan *plan = add_step(operator, run_energy, sizeof *plan, -1);
  if (plan == NULL) return AIOT_MEMORY_SHORT;
  *plan = (energy_plan){start, end};
  const bool whole = start == 0 && end == y->count;
  return whole || aiot_variable_output(operator, 0) ? AIOT_OK : AIOT_MEMORY_SHORT;
}

typedef struct {
  const uint8_t *weights, *unweights;
  /* For each edge: its first bin, its first weight, and the number of both. */
  const uint8_t *bins, *starts, *widths;
  int32_t channels;
} bank_plan;

static uint64_t weighted_sum(const uint32_t *x, const uint8_t *weights, int32_t count) {
  uint64_t sum = 0;
  for (int32_t k = 0; k < count; k++) sum += (uint64_t)(int64_t)entry(weights, k) * x[k];
  return sum;
}

static void run_filter_bank(const aiot_step *step) {
  const bank_plan *plan = step->plan;
  const uint32_t *x = (const void *)step->x;
  uint64_t *y = (void *)step->y, rest = 0;
  for (int32_t edge = 0; edge <= plan->channels; edge++) {
    const int32_t width = entry(plan->widths, edge);
    const int32_t bin = width > 0 ? entry(plan->bins, edge) : 0, start = width > 0 ? entry(plan->starts, edge) : 0;
    if (edge > 0) *y++ = rest + weighted_sum(x + bin, plan->weights + 2 * start, width);
    rest = weighted_sum(x + bin, plan->unweights + 2 * start, width);
  }
}

/*
 * SIGNAL_FILTER_BANK: each bin between two centers belongs to both channels, with a weight for the next and an unweight for the previous
 * channel. Sums wrap at 64 bits.
 */
aiot_code aiot_prepare_filter_bank(const aiot_operator *operator) {
  static const option options[] = {{"num_channels", 1, MOST}};
  int32_t channels;
  aiot_code code = read_options(operator, options, 1, &channels);
  const aiot_operand *x = aiot_operator_input(operator, 0), *table[5];
  if (code == AIOT_OK) code = check_activation(x, AIOT_UINT32, 1);
  if (code != AIOT_OK) return code;
  if (!is_vector(aiot_operator_output(operator, 0), AIOT_UINT64, channels)) return AIOT_BUNDLE_MALFORMED;
  for (uint32_t i = 0; i < 5; i++) {
    table[i] = aiot_operator_input(operator, i + 1);
    if (!is_table(table[i])) return AIOT_MODEL_UNSUPPORTED;
    if (i > 1 && table[i]->count <= channels) return AIOT_BUNDLE_MALFORMED;
  }
  const int32_t weighted = table[0]->count < table[1]->count ? table[0]->count : table[1]->count;
  for (int32_t edge = 0; edge <= channels; edge++) {
    const int32_t bin = entry(table[2]->data, edge), start = entry(table[3]->data, edge), width = entry(table[4]->data, edge);
    if (width > 0 && (bin < 0 || start < 0 || bin + width > x->count || start + width > weighted)) return AIOT_BUNDLE_MALFORMED;
  }
  bank_plan *plan = add_step(operator, run_filter_bank, sizeof *plan, -1);
  if (plan == NULL) return AIOT_MEMORY_SHORT;
  *plan = (bank_plan){table[0]->data, table[1]->data, table[2]->data, table[3]->data, table[4]->data, channels};
  return AIOT_OK;
}

typedef struct {
  int32_t count;
} count_plan;

static void run_square_roots(const aiot_step *step) {
  const count_plan *plan = step->plan;
  const uint64_t *x = (const void *)step->x;
  uint32_t *y = (void *)step->y, shift;
  memcpy(&shift, step->x2, sizeof shift);
  for (int32_t i = 0; i < plan->count; i++) y[i] = aiot_rounded_root(x[i]) >> (shift & 31);
}

/* SIGNAL_FILTER_BANK_SQUARE_ROOT: rounded roots, shifted right by the number of bits by which the samples were shifted left. */
aiot_code aiot_prepare_square_roots(const aiot_operator *operator) {
  const aiot_operand *x = aiot_operator_input(operator, 0);
  const aiot_code code = check_activation(x, AIOT_UINT64, 1);
  if (code != AIOT_OK) return code;
  if (!is_output(aiot_operator_output(operator, 0), AIOT_UINT32, x) || !is_scalar(aiot_operator_input(operator, 1), AIOT_INT32))
    return AIOT_BUNDLE_MALFORMED;
  count_plan *plan = add_step(operator, run_square_roots, sizeof *plan, aiot_operator_input_index(operator, 1));
  if (plan == NULL) return AIOT_MEMORY_SHORT;
  plan->count = x->count;
  return AIOT_OK;
}

typedef struct {
  aiot_noise_reduction settings;
  /* The noise estimate: the second output. */
  uint32_t *noise;
  int32_t channels;
} noise_plan;

static void run_spectral_subtraction(const aiot_step *step) {
  const noise_plan *plan = step->plan;
  const uint32_t *x = (const void *)step->x;
  uint32_t *y = (void *)step->y;
  for (int32_t band = 0; band < plan->channels; band++)
    y[band] = aiot_without_noise(&plan->settings, x[band], (size_t)band, &plan->noise[band]);
}

/* SIGNAL_FILTER_BANK_SPECTRAL_SUBTRACTION. */
aiot_code aiot_prepare_spectral_subtraction(const aiot_operator *operator) {
  enum { ODD_KEPT, ODD_FRESH, CLAMPS, REMAINING, CHANNELS, EVEN_KEPT, EVEN_FRESH, SMOOTHING_BITS, SHARE_BITS, COUNT };
  static const option options[COUNT] = {
      {"alternate_one_minus_smoothing", 0, MOST}, {"alternate_smoothing", 0, MOST}, {"clamping", 0, 1},
      {"min_signal_remaining", 0, MOST}, {"num_channels", 1, MOST}, {"one_minus_smoothing", 0, MOST},
      {"smoothing", 0, MOST}, {"smoothing_bits", 0, 31}, {"spectral_subtraction_bits", 0, 31},
  };
  int32_t value[COUNT];
  aiot_code code = read_options(operator, options, COUNT, value);
  const aiot_operand *x = aiot_operator_input(operator, 0);
  if (code == AIOT_OK) code = check_activation(x, AIOT_UINT32, 1);
  if (code != AIOT_OK) return code;
  const int32_t channels = value[CHANNELS];
  for (uint32_t i = 0; i < 2; i++)
    if (!is_vector(aiot_operator_output(operator, i), AIOT_UINT32, channels)) return AIOT_BUNDLE_MALFORMED;
  if (x->count != channels) return AIOT_BUNDLE_MALFORMED;
  const size_t bytes = (size_t)channels * sizeof(uint32_t);
  noise_plan *plan = add_step(operator, run_spectral_subtraction, sizeof *plan, -1);
  uint32_t *noise = plan == NULL ? NULL : aiot_variable_memory(operator->network, bytes);
  if (noise == NULL) return AIOT_MEMORY_SHORT;
  plan->settings = (aiot_noise_reduction){
      .smoothing_bits = (uint32_t)value[SMOOTHING_BITS],
      .share_bits = (uint32_t)value[SHARE_BITS],
      .fresh = {(uint32_t)value[EVEN_FRESH], (uint32_t)value[ODD_FRESH]},
      .kept = {(uint32_t)value[EVEN_KEPT], (uint32_t)value[ODD_KEPT]},
      .remaining = (uint32_t)value[REMAINING],
      .clamps = value[CLAMPS] != 0,
  };
  plan->noise = noise;
  plan->channels = channels;
  return add_second(operator, noise, bytes);
}

typedef struct {
  const uint8_t *gains;
  int32_t count, shift;
} pcan_plan;

static void run_pcan(const aiot_step *step) {
  const pcan_plan *plan = step->plan;
  const uint32_t *x = (const void *)step->x, *noise = (const void *)step->x2;
  uint32_t *y = (void *)step->y;
  for (int32_t band = 0; band < plan->count; band++) {
    const int32_t place = (int32_t)aiot_gain_place(noise[band]);
    int16_t coefficients[3];
    for (int32_t k = 0; k < 3; k++) coefficients[k] = (int16_t)entry(plan->gains, place + k);
    /* A gain below 0 becomes a large uint32. */
    const uint64_t product = (uint64_t)x[band] * (uint32_t)aiot_gain_of(noise[band], coefficients);
    y[band] = aiot_shrunk_ratio((uint32_t)(product >> plan->shift));
  }
}

/* SIGNAL_PCAN: normalizes each channel by its noise estimate. */
aiot_code aiot_prepare_pcan(const aiot_operator *operator) {
  static const option options[] = {{"snr_shift", 0, 63}};
  int32_t shift;
  aiot_code code = read_options(operator, options, 1, &shift);
  const aiot_operand *x = aiot_operator_input(operator, 0), *noise = aiot_operator_input(operator, 1);
  const aiot_operand *gains = aiot_operator_input(operator, 2);
  if (code == AIOT_OK) code = check_activation(x, AIOT_UINT32, 1);
  if (code == AIOT_OK) code = check_activation(noise, AIOT_UINT32, 1);
  if (code != AIOT_OK) return code;
  if (!is_table(gains)) return AIOT_MODEL_UNSUPPORTED;
  if (!is_output(aiot_operator_output(operator, 0), AIOT_UINT32, x) || noise->count != x->count || gains->count < AIOT_GAINS)
    return AIOT_BUNDLE_MALFORMED;
  pcan_plan *plan = add_step(operator, run_pcan, sizeof *plan, aiot_operator_input_index(operator, 1));
  if (plan == NULL) return AIOT_MEMORY_SHORT;
  *plan = (pcan_plan){gains->data, x->count, shift};
  return AIOT_OK;
}

typedef struct {
  uint16_t *table;
  int32_t count, bits;
  uint32_t scale;
} log_plan;

static void run_logarithms(const aiot_step *step) {
  const log_plan *plan = step->plan;
  const uint32_t *x = (const void *)step->x;
  int16_t *y = (void *)step->y;
  for (int32_t band = 0; band < plan->count; band++) {
    const uint32_t value = x[band] << plan->bits;
    const uint32_t logarithm = value > 1 ? aiot_scaled_logarithm(value, plan->scale, plan->table) : 0;
    y[band] = (int16_t)(logarithm > INT16_MAX ? INT16_MAX : logarithm);
  }
}

/* SIGNAL_FILTER_BANK_LOG. The shifted signal wraps at 32 bits, and the logarithm is limited to int16. */
aiot_code aiot_prepare_logarithms(const aiot_operator *operator) {
  static const option options[] = {{"input_correction_bits", 0, 31}, {"output_scale", 0, INT32_MAX}};
  int32_t value[2];
  aiot_code code = read_options(operator, options, 2, value);
  const aiot_operand *x = aiot_operator_input(operator, 0);
  if (code == AIOT_OK) code = check_activation(x, AIOT_UINT32, 1);
  if (code != AIOT_OK) return code;
  if (!is_output(aiot_operator_output(operator, 0), AIOT_INT16, x)) return AIOT_BUNDLE_MALFORMED;
  log_plan *plan = add_step(operator, run_logarithms, sizeof *plan, -1);
  uint16_t *table = plan == NULL ? NULL : aiot_arena_take(operator->network->arena, AIOT_LOGARITHMS * sizeof *table, sizeof *table);
  if (table == NULL) return AIOT_MEMORY_SHORT;
  aiot_fill_logarithms(table);
  *plan = (log_plan){table, x->count, value[0], (uint32_t)value[1]};
  return AIOT_OK;
}

typedef struct {
  stream *own;
  int16_t *history;
  int32_t channels, size, left, step;
} stacker_plan;

static void run_stacker(const aiot_step *step) {
  const stacker_plan *plan = step->plan;
  stream *own = plan->own;
  for (int32_t copies = own->begun ? 1 : plan->left + 1; copies > 0; copies--) {
    memcpy(plan->history + own->count, step->x, (size_t)plan->channels * sizeof(int16_t));
    own->count += plan->channels;
  }
  own->begun = 1;
  own->complete = own->count >= plan->size;
  if (!own->complete) return;
  memcpy(step->y, plan->history, (size_t)plan->size * sizeof(int16_t));
  own->count -= plan->step;
  memmove(plan->history, plan->history + plan->step, (size_t)own->count * sizeof(int16_t));
}

/* SIGNAL_STACKER: the first frame counts several times. An incomplete row keeps its previous values. */
aiot_code aiot_prepare_stacker(const aiot_operator *operator) {
  enum { CHANNELS, LEFT, RIGHT, STEP, COUNT };
  static const option options[COUNT] = {
      {"num_channels", 1, MOST}, {"stacker_left_context", 0, 1024}, {"stacker_right_context", 0, 1024}, {"stacker_step", 1, 2049}};
  int32_t value[COUNT];
  aiot_code code = read_options(operator, options, COUNT, value);
  const aiot_operand *x = aiot_operator_input(operator, 0);
  if (code == AIOT_OK) code = check_activation(x, AIOT_INT16, 1);
  if (code != AIOT_OK) return code;
  const int32_t channels = value[CHANNELS], left = value[LEFT], frames = left + 1 + value[RIGHT], size = channels * frames;
  if (value[STEP] > frames || size > AIOT_ELEMENTS_MAX) return AIOT_MODEL_UNSUPPORTED;
  if (x->count != channels || !is_vector(aiot_operator_output(operator, 0), AIOT_INT16, size)) return AIOT_BUNDLE_MALFORMED;
  if (!is_scalar(aiot_operator_output(operator, 1), AIOT_BOOL)) return AIOT_BUNDLE_MALFORMED;
  stacker_plan *plan = add_step(operator, run_stacker, sizeof *plan, -1);
  stream *own = plan == NULL ? NULL : aiot_variable_memory(operator->network, sizeof *own);
  int16_t *history = own == NULL ? NULL : aiot_variable_memory(operator->network, (size_t)size * sizeof *history);
  if (history == NULL) return AIOT_MEMORY_SHORT;
  *plan = (stacker_plan){own, history, channels, size, left, value[STEP] * channels};
  if ((value[RIGHT] > 0 || value[STEP] > 1) && !aiot_variable_output(operator, 0)) return AIOT_MEMORY_SHORT;
  return add_second(operator, &own->complete, 1);
}

#include "aiot/fit.h"

#include <math.h>
#include <string.h>

/* The part of an axis of the picture that is used, and the number of pixels that it becomes. */
typedef struct {
  size_t size;
  double from;
  double to;
  size_t count;
  /* Index of the first of these pixels in the fitted picture. */
  size_t at;
} axis;

struct aiot_fitter {
  aiot_image_spec target;
  size_t channels;
  axis across;
  axis down;
  /* The picture after the first step: [down.size][across.count][channels]. */
  uint8_t *narrow;
  int32_t *weight;
};

/* The value 1 in the weights' fixed-point format. */
#define ONE (1 << 22)

/* Rounds like Python's round(). */
static double half_even(double value) {
  const double low = floor(value), part = value - low;
  if (part == 0.5) return low + fmod(low, 2);
  return part > 0.5 ? low + 1 : low;
}

/* Selects the largest central region with the target's proportions. Its edges have single precision. */
static void crop(axis *across, axis *down, double ratio) {
  const double width = (double)across->size, height = (double)down->size, own = width / height;
  if (own == ratio) return;
  const double w = own > ratio ? ratio * height : width, h = own > ratio ? height : width / ratio;
  const double left = (width - w) * 0.5, top = (height - h) * 0.5;
  across->from = (double)(float)left;
  across->to = (double)(float)(left + w);
  down->from = (double)(float)top;
  down->to = (double)(float)(top + h);
}

/* Leaves bars beside or above the picture. */
static void pad(axis *across, axis *down, const aiot_image_spec *target) {
  const double width = (double)across->size, height = (double)down->size;
  const double wide = (double)target->width, high = (double)target->height;
  if (width / height > wide / high) down->count = (size_t)fmax(1, half_even(height / width * wide));
  else if (width / height < wide / high) across->count = (size_t)fmax(1, half_even(width / height * high));
  across->at = (size_t)half_even((wide - (double)across->count) * 0.5);
  down->at = (size_t)half_even((high - (double)down->count) * 0.5);
}

aiot_code aiot_fitter_open(const aiot_image_spec *target, size_t channels, size_t width, size_t height, aiot_arena *arena, aiot_fitter **out) {
  *out = NULL;
  const size_t sizes[] = {target->width, target->height, width, height};
  for (size_t i = 0; i < 4; i++)
    if (sizes[i] == 0 || sizes[i] > UINT16_MAX) return AIOT_MODEL_UNSUPPORTED;
  if (channels != 1 && channels != 3) return AIOT_MODEL_UNSUPPORTED;
  aiot_fitter *own = aiot_arena_take(arena, sizeof *own, _Alignof(aiot_fitter));
  if (own == NULL) return AIOT_MEMORY_SHORT;
  *own = (aiot_fitter){.target = *target, .channels = channels};
  own->across = (axis){width, 0, (double)width, target->width, 0};
  own->down = (axis){height, 0, (double)height, target->height, 0};
  if (target->fit == AIOT_FIT_CROP) crop(&own->across, &own->down, (double)target->width / (double)target->height);
  if (target->fit == AIOT_FIT_PAD) pad(&own->across, &own->down, target);
  own->weight = aiot_arena_take(arena, (width > height ? width : height) * sizeof(int32_t), _Alignof(int32_t));
  /* If a product overflows on a 32-bit chip, the chip has too little memory anyway. */
  if (own->across.count * channels > SIZE_MAX / height) return AIOT_MEMORY_SHORT;
  own->narrow = aiot_arena_take(arena, own->across.count * channels * height, 1);
  if (own->weight == NULL || own->narrow == NULL) return AIOT_MEMORY_SHORT;
  *out = own;
  return AIOT_OK;
}

static bool is_resized(const axis *a) { return a->count != a->size || a->from != 0 || a->to != (double)a->size; }

/* Weight of a pixel under a triangle around `center`. */
static double triangle(size_t pixel, double center, double support) {
  const double weight = 1 - fabs(((double)pixel - center + 0.5) * (1 / support));
  return weight > 0 ? weight : 0;
}

/* Computes the weights of the pixels that result in pixel `index`. Returns the first of them, and their number. */
static size_t weigh(const axis *a, size_t index, int32_t *out, size_t *count) {
  const double step = (double)(float)(a->to - a->from) / (double)a->count, support = step > 1 ? step : 1;
  const double center = a->from + ((double)index + 0.5) * step;
  const double low = trunc(center - support + 0.5), high = trunc(center + support + 0.5);
  const size_t first = low > 0 ? (size_t)low : 0;
  size_t end = high > 0 ? (size_t)high : 0;
  if (end > a->size) end = a->size;
  double sum = 0;
  for (size_t i = first; i < end; i++) sum += triangle(i, center, support);
  for (size_t i = first; i < end; i++) {
    const double weight = triangle(i, center, support);
    out[i - first] = (int32_t)trunc((sum > 0 ? weight / sum : weight) * ONE + 0.5);
  }
  *count = end > first ? end - first : 0;
  return first;
}

static uint8_t limited(int64_t total) { return (uint8_t)(total / ONE > 255 ? 255 : total / ONE); }

/* One channel of a pixel; a single channel of a color is its luma. */
static int32_t value_of(const uint8_t *data, aiot_pixels format, size_t pixel, size_t channels, size_t channel) {
  int32_t color[3];
  if (format == AIOT_PIXELS_GRAY) return data[pixel];
  if (format == AIOT_PIXELS_RGB888) {
    for (size_t c = 0; c < 3; c++) color[c] = data[3 * pixel + c];
  } else {
    /* The lower bits repeat the upper ones, so that white stays white. */
    const int32_t word = data[2 * pixel] << 8 | data[2 * pixel + 1];
    const int32_t red = word >> 11, green = word >> 5 & 63, blue = word & 31;
    color[0] = red << 3 | red >> 2;
    color[1] = green << 2 | green >> 4;
    color[2] = blue << 3 | blue >> 2;
  }
  if (channels == 3) return color[channel];
  return (color[0] * 19595 + color[1] * 38470 + color[2] * 7471 + 0x8000) >> 16;
}

static void narrow(const aiot_fitter *f, const uint8_t *data, aiot_pixels format) {
  const axis *a = &f->across;
  const bool resized = is_resized(a);
  for (size_t x = 0; x < a->count; x++) {
    size_t count = 0;
    const size_t first = resized ? weigh(a, x, f->weight, &count) : x;
    for (size_t y = 0; y < f->down.size; y++) {
      for (size_t c = 0; c < f->channels; c++) {
        const size_t pixel = y * a->size + first;
        int64_t total = ONE / 2;
        for (size_t i = 0; i < count; i++) total += (int64_t)value_of(data, format, pixel + i, f->channels, c) * f->weight[i];
        uint8_t *out = f->narrow + (y * a->count + x) * f->channels + c;
        *out = resized ? limited(total) : (uint8_t)value_of(data, format, pixel, f->channels, c);
      }
    }
  }
}

void aiot_fitter_run(const aiot_fitter *f, const uint8_t *data, aiot_pixels format, uint8_t *out) {
  const axis *a = &f->down;
  const size_t row = f->across.count * f->channels, whole = f->target.width * f->channels;
  narrow(f, data, format);
  memset(out, 0, whole * f->target.height);
  for (size_t y = 0; y < a->count; y++) {
    uint8_t *to = out + (a->at + y) * whole + f->across.at * f->channels;
    if (!is_resized(a)) {
      memcpy(to, f->narrow + y * row, row);
      continue;
    }
    size_t count = 0;
    const size_t first = weigh(a, y, f->weight, &count);
    for (size_t x = 0; x < row; x++) {
      int64_t total = ONE / 2;
      for (size_t i = 0; i < count; i++) total += (int64_t)f->narrow[(first + i) * row + x] * f->weight[i];
      to[x] = limited(total);
    }
  }
}

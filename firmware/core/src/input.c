#include "aiot/input.h"

#include <math.h>

void aiot_quantize_input(const aiot_input_spec *spec, const double *features, int8_t *out) {
  for (size_t i = 0; i < spec->count; i++) {
    const double standardized = (features[i] - spec->mean[i]) / spec->deviation[i];
    const double q = round(standardized / spec->scale) + (double)spec->zero_point;
    /* Clamped before the cast: a double beyond the integer's range has no defined value (C11, 6.3.1.4). */
    if (isnan(q)) {
      out[i] = (int8_t)spec->zero_point;
    } else {
      out[i] = q < -128.0 ? INT8_MIN : q > 127.0 ? INT8_MAX : (int8_t)q;
    }
  }
}

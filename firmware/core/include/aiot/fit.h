/*
 * Fits a camera's picture to a model: crop, stretch or bars, gray or color. The pixels equal those of src/lib/vision/fit.ts, with which
 * the model was trained, bit for bit.
 */
#ifndef AIOT_FIT_H
#define AIOT_FIT_H

#include "aiot/bundle.h"

/* Formats of a pixel: one byte; two bytes with 5, 6 and 5 bits, the upper byte first, as an OV2640 sends them; three bytes. */
typedef enum { AIOT_PIXELS_GRAY, AIOT_PIXELS_RGB565, AIOT_PIXELS_RGB888 } aiot_pixels;

typedef struct aiot_fitter aiot_fitter;

/*
 * Prepares pictures of this size. `channels`: 1 = shades of gray, 3 = red, green and blue. It takes about target width * picture height *
 * channels bytes. Errors: AIOT_MODEL_UNSUPPORTED for other numbers of channels, sizes of 0 or above 65535; AIOT_MEMORY_SHORT.
 */
aiot_code aiot_fitter_open(const aiot_image_spec *target, size_t channels, size_t width, size_t height, aiot_arena *arena, aiot_fitter **out);
/* Writes target width * target height * channels bytes, row by row, with a pixel's channels next to each other. */
void aiot_fitter_run(const aiot_fitter *fitter, const uint8_t *data, aiot_pixels format, uint8_t *out);

#endif

/*
 * Passes a camera's pictures between two tasks: one fits each picture to the model, and the other reads its pixels for the model. While
 * a picture is read, the camera's next pictures are skipped, so that the model always gets whole pictures.
 */
#ifndef AIOT_CAMERA_H
#define AIOT_CAMERA_H

#include <stdatomic.h>
#include <stdbool.h>

#include "aiot/fit.h"

/* A picture as the camera delivers it, row by row. */
typedef struct {
  const uint8_t *data;
  size_t bytes;
  size_t width;
  size_t height;
  aiot_pixels format;
} aiot_frame;

typedef struct {
  aiot_fitter *fitter;
  /* Size of the camera's pictures. */
  size_t width;
  size_t height;
  size_t channels;
  /* The fitted picture: `pixels` times `channels` bytes. */
  uint8_t *value;
  size_t pixels;
  /* Number of pixels of this picture that have been read. Only the reader uses it. */
  size_t next;
  /* Whether a picture is waiting or being read. */
  atomic_bool full;
} aiot_camera;

/*
 * Prepares pictures of `width` * `height` pixels for a model. `channels`: 1 = shades of gray, 3 = red, green and blue. It takes the memory
 * of a fitter, and target width * target height * channels bytes. Errors: those of aiot_fitter_open.
 */
aiot_code aiot_camera_open(aiot_camera *camera, const aiot_image_spec *target, size_t channels, size_t width, size_t height, aiot_arena *arena);

typedef enum {
  AIOT_CAMERA_WRITTEN,
  /* The reader has not finished the last picture. */
  AIOT_CAMERA_SKIPPED,
  /* The picture has another size, or its data are incomplete. */
  AIOT_CAMERA_REJECTED
} aiot_camera_result;

aiot_camera_result aiot_camera_write(aiot_camera *camera, const aiot_frame *frame);
/* Reads one pixel: `channels` values from 0 to 255. False = there is no picture. */
bool aiot_camera_read(aiot_camera *camera, double *values);

#endif

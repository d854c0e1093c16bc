#include "aiot/camera.h"

aiot_code aiot_camera_open(aiot_camera *camera, const aiot_image_spec *target, size_t channels, size_t width, size_t height, aiot_arena *arena) {
  *camera = (aiot_camera){.width = width, .height = height, .channels = channels, .pixels = target->width * target->height};
  const aiot_code code = aiot_fitter_open(target, channels, width, height, arena, &camera->fitter);
  if (code != AIOT_OK) return code;
  camera->value = aiot_arena_take(arena, camera->pixels * channels, 1);
  return camera->value == NULL ? AIOT_MEMORY_SHORT : AIOT_OK;
}

static size_t bytes_of(const aiot_frame *frame) {
  const size_t pixel = frame->format == AIOT_PIXELS_GRAY ? 1 : frame->format == AIOT_PIXELS_RGB565 ? 2 : 3;
  return frame->width * frame->height * pixel;
}

aiot_camera_result aiot_camera_write(aiot_camera *camera, const aiot_frame *frame) {
  if (frame->width != camera->width || frame->height != camera->height || frame->bytes < bytes_of(frame)) return AIOT_CAMERA_REJECTED;
  if (atomic_load(&camera->full)) return AIOT_CAMERA_SKIPPED;
  aiot_fitter_run(camera->fitter, frame->data, frame->format, camera->value);
  atomic_store(&camera->full, true);
  return AIOT_CAMERA_WRITTEN;
}

bool aiot_camera_read(aiot_camera *camera, double *values) {
  if (!atomic_load(&camera->full)) return false;
  const uint8_t *from = camera->value + camera->next * camera->channels;
  for (size_t c = 0; c < camera->channels; c++) values[c] = from[c];
  if (++camera->next < camera->pixels) return true;
  camera->next = 0;
  atomic_store(&camera->full, false);
  return true;
}

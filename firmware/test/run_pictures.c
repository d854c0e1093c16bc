/*
 * Runs a bundle on picture files, as a board with a camera does: frame, fitting, pixels, model, message.
 *
 *   run_pictures BUNDLE gray|rgb565|rgb888 PICTURE ...
 *
 * Prints the inference message of each picture, a line each, or the error code. All pictures have the same size.
 */
#include <stdio.h>
#include <string.h>

#include "aiot/pipeline.h"
#include "aiot/telemetry.h"
#include "frames.h"

enum { MEMORY = 4 << 20, FRAME = 3 * 640 * 480, MESSAGE = 8192 };

static const char *const formats[] = {"gray", "rgb565", "rgb888"};

static int fail(const char *reason) {
  fprintf(stderr, "%s\n", reason);
  return 1;
}

static void print(const aiot_bundle *bundle, const aiot_answer *answer) {
  static char out[MESSAGE];
  const aiot_message message = {out, sizeof out, AIOT_ENCODING_JSON};
  const aiot_inference_news news = {.seq = answer->window, .model = bundle->name, .version = 1, .bundle = bundle, .answer = answer};
  printf("%.*s\n", (int)aiot_inference_message(message, &news), out);
}

int main(int count, char **arguments) {
  static uint8_t file[1 << 20], block[MEMORY], memory[FRAME];
  if (count < 4) return fail("run_pictures BUNDLE gray|rgb565|rgb888 PICTURE ...");
  int format = 0;
  while (format < 3 && strcmp(formats[format], arguments[2]) != 0) format++;
  if (format == 3) return fail("unknown format");
  FILE *from = fopen(arguments[1], "rb");
  if (from == NULL) return fail("no bundle");
  const size_t bytes = fread(file, 1, sizeof file, from);
  fclose(from);
  aiot_arena arena;
  aiot_arena_init(&arena, block, sizeof block);
  aiot_bundle bundle;
  aiot_predictor *predictor = NULL;
  aiot_code code = aiot_bundle_open(&bundle, file, bytes, &arena);
  if (code == AIOT_OK) code = aiot_predictor_open(&bundle, &aiot_interpreter, &arena, &predictor);
  aiot_camera camera = {0};
  for (int i = 3; i < count && code == AIOT_OK; i++) {
    aiot_frame frame;
    if (!aiot_frame_read(&frame, arguments[i], (aiot_pixels)format, memory, sizeof memory)) return fail(arguments[i]);
    if (camera.fitter == NULL) code = aiot_camera_open(&camera, &bundle.signal.image, bundle.signal.fields, frame.width, frame.height, &arena);
    if (code != AIOT_OK) break;
    if (aiot_camera_write(&camera, &frame) != AIOT_CAMERA_WRITTEN) return fail(arguments[i]);
    double values[AIOT_FIELDS_MAX];
    aiot_answer answer;
    while (aiot_camera_read(&camera, values)) {
      if (aiot_predictor_push(predictor, values, &answer)) print(&bundle, &answer);
    }
  }
  if (code != AIOT_OK) printf("%s\n", aiot_code_name(code));
  return 0;
}

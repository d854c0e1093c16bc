/*
 * Runs a bundle on WAV files, as a board with a microphone does: buffer between the tasks, features, model, smoothing, message.
 *
 *   run_sound BUNDLE WAV ...
 *
 * First checks the bundle's golden vectors. Prints the inference messages, a line each, and an empty line after each file; each file is a
 * stream of its own. Prints the error code instead if the bundle cannot run or is not exact.
 */
#include <stdio.h>

#include "aiot/pipeline.h"
#include "aiot/sound.h"
#include "aiot/telemetry.h"
#include "wav.h"

enum { MEMORY = 1 << 20, MESSAGE = 8192, ROOM = 1024 };

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

/* Reads in blocks of a size that does not divide a window. False = the file is not one channel of 16-bit PCM at the model's rate. */
static bool run(const aiot_bundle *bundle, aiot_predictor *predictor, const char *path) {
  static int16_t room[ROOM];
  aiot_wav wav;
  aiot_sound sound;
  if (!aiot_sound_init(&sound, room, ROOM) || !aiot_wav_open(&wav, path)) return false;
  const bool fits = wav.rate_hz == bundle->signal.rate_hz;
  aiot_sound_break(&sound, 0);
  while (fits && aiot_wav_read(&wav, &sound, 397) > 0) {
    double value;
    bool gap;
    aiot_answer answer;
    while (aiot_sound_read(&sound, &value, &gap)) {
      if (gap) aiot_predictor_reset(predictor);
      if (aiot_predictor_push(predictor, &value, &answer)) print(bundle, &answer);
    }
  }
  aiot_wav_close(&wav);
  printf("\n");
  return fits;
}

int main(int count, char **arguments) {
  static uint8_t file[1 << 21], block[MEMORY];
  if (count < 3) return fail("run_sound BUNDLE WAV ...");
  FILE *from = fopen(arguments[1], "rb");
  if (from == NULL) return fail("no bundle");
  const size_t bytes = fread(file, 1, sizeof file, from);
  fclose(from);
  aiot_arena arena;
  aiot_arena_init(&arena, block, sizeof block);
  aiot_bundle bundle;
  aiot_predictor *predictor = NULL;
  size_t vectors, passed;
  aiot_code code = aiot_bundle_open(&bundle, file, bytes, &arena);
  /* The check gets a copy of the arena, so its memory is free again afterward. */
  if (code == AIOT_OK) code = aiot_golden_check(&bundle, &aiot_interpreter, arena, &vectors, &passed);
  if (code == AIOT_OK) code = aiot_predictor_open(&bundle, &aiot_interpreter, &arena, &predictor);
  for (int i = 2; i < count && code == AIOT_OK; i++)
    if (!run(&bundle, predictor, arguments[i])) return fail(arguments[i]);
  if (code != AIOT_OK) printf("%s\n", aiot_code_name(code));
  return 0;
}

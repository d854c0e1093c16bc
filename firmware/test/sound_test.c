/*
 * Runs the path of a microphone's samples to the messages with predictions: a WAV file in place of the microphone, the buffer between the
 * tasks, features, model, smoothing. The messages must be TypeScript's, byte for byte. The first argument is the fixtures' folder.
 */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "aiot/sound.h"
#include "aiot/telemetry.h"
#include "check.h"
#include "wav.h"

#define ROWS(table) (sizeof(table) / sizeof((table)[0]))

typedef struct {
  const char *name;
  const char *const *message;
  size_t messages;
} sound_row;

#include "sound.inc"

static uint8_t file[64 * 1024], memory[64 * 1024];
static const char *folder;
static aiot_bundle bundle;

static aiot_predictor *open_predictor(const char *name, aiot_arena *arena) {
  char path[512];
  snprintf(path, sizeof path, "%s/bundles/%s.aiot", folder, name);
  FILE *from = fopen(path, "rb");
  if (from == NULL) exit(2);
  const size_t bytes = fread(file, 1, sizeof file, from);
  fclose(from);
  aiot_arena_init(arena, memory, sizeof memory);
  aiot_predictor *predictor = NULL;
  if (aiot_bundle_open(&bundle, file, bytes, arena) != AIOT_OK) exit(2);
  if (aiot_predictor_open(&bundle, &aiot_interpreter, arena, &predictor) != AIOT_OK) exit(2);
  return predictor;
}

static void open_wav(aiot_wav *wav) {
  char path[512];
  snprintf(path, sizeof path, "%s/sound.wav", folder);
  if (!aiot_wav_open(wav, path)) exit(2);
}

static bool same_message(const sound_row *row, size_t index, const aiot_answer *answer) {
  char out[512];
  const aiot_message message = {out, sizeof out, AIOT_ENCODING_JSON};
  const aiot_inference_news news = {.seq = (int64_t)index, .model = row->name, .version = 1, .bundle = &bundle, .answer = answer};
  const size_t bytes = aiot_inference_message(message, &news);
  return bytes == strlen(row->message[index]) && memcmp(out, row->message[index], bytes) == 0;
}

static void test_messages(checks *c, const sound_row *row) {
  aiot_arena arena;
  aiot_predictor *predictor = open_predictor(row->name, &arena);
  aiot_wav wav;
  open_wav(&wav);
  check_equal(c, "the file's rate", 0, SOUND_HZ, wav.rate_hz);
  int16_t room[64];
  aiot_sound sound;
  check_at(c, row->name, "opened", 0, aiot_sound_init(&sound, room, ROWS(room)));
  aiot_sound_break(&sound, 0);
  size_t messages = 0, samples = 0, gaps = 0;
  double value;
  bool gap;
  aiot_answer answer;
  while (aiot_wav_read(&wav, &sound, 37) > 0) {
    while (aiot_sound_read(&sound, &value, &gap)) {
      samples++;
      gaps += gap;
      if (!aiot_predictor_push(predictor, &value, &answer)) continue;
      if (messages < row->messages) check_at(c, row->name, "message", messages, same_message(row, messages, &answer));
      messages++;
    }
  }
  aiot_wav_close(&wav);
  check_equal(c, "samples", 0, SOUND_SAMPLES, (int64_t)samples);
  check_equal(c, "a start counts as a gap", 0, 1, (int64_t)gaps);
  check_equal(c, "messages", 0, (int64_t)row->messages, (int64_t)messages);
  check_equal(c, "lost samples", 0, 0, aiot_sound_lost(&sound));
  printf("%s: %zu samples, %zu messages\n", row->name, samples, messages);
}

/* If the reader is late, the samples that do not fit are counted, and the next series begins only after the earlier ones were read. */
static void test_overrun(checks *c) {
  int16_t room[16];
  int32_t slots[40];
  aiot_sound sound;
  double value = 0;
  bool gap = false;
  check_at(c, "overrun", "room of 16", 0, aiot_sound_init(&sound, room, 16));
  check_at(c, "overrun", "room of 12", 0, !aiot_sound_init(&(aiot_sound){0}, room, 12));
  check_at(c, "overrun", "no room", 0, !aiot_sound_init(&(aiot_sound){0}, room, 0));
  for (int i = 0; i < 40; i++) slots[i] = (int32_t)((uint32_t)(i - 20) << 16);
  aiot_sound_write(&sound, slots, 40);
  check_equal(c, "lost", 0, 24, aiot_sound_lost(&sound));
  for (int i = 0; i < 10; i++) check_at(c, "overrun", "earlier sample", (size_t)i, aiot_sound_read(&sound, &value, &gap) && !gap && value * 32768 == i - 20);
  /* There is room, but the series is broken. */
  aiot_sound_write(&sound, slots, 3);
  check_equal(c, "lost", 1, 27, aiot_sound_lost(&sound));
  for (int i = 10; i < 16; i++) check_at(c, "overrun", "earlier sample", (size_t)i, aiot_sound_read(&sound, &value, &gap) && !gap && value * 32768 == i - 20);
  check_at(c, "overrun", "empty", 0, !aiot_sound_read(&sound, &value, &gap));
  aiot_sound_write(&sound, slots + 30, 2);
  check_at(c, "overrun", "after the gap", 0, aiot_sound_read(&sound, &value, &gap) && gap && value * 32768 == 10);
  check_at(c, "overrun", "after the gap", 1, aiot_sound_read(&sound, &value, &gap) && !gap && value * 32768 == 11);
  /* Full scale: the lower 16 bits are dropped, not rounded. */
  const int32_t extremes[] = {INT32_MIN, INT32_MAX, -1, 0x0000ffff};
  aiot_sound_write(&sound, extremes, 4);
  const double expected[] = {-1, 32767.0 / 32768, -1.0 / 32768, 0};
  for (size_t i = 0; i < 4; i++) check_at(c, "scale", "sample", i, aiot_sound_read(&sound, &value, &gap) && !gap && value == expected[i]);
  check_equal(c, "lost", 2, 27, aiot_sound_lost(&sound));
}

enum { TOTAL = 400000 };
static aiot_sound shared;
static atomic_bool finished;
static uint32_t overruns;

/* Writes numbers that count up, in blocks of different sizes. After some of the overruns, it waits for the reader. */
static void *write_all(void *context) {
  (void)context;
  int32_t slots[97];
  uint32_t next = 0, size = 1;
  while (next < TOTAL) {
    size = size * 7 % 97 + 1;
    const uint32_t count = size < TOTAL - next ? size : TOTAL - next;
    for (uint32_t i = 0; i < count; i++) slots[i] = (int32_t)(next++ << 16);
    const bool broken = shared.broken;
    aiot_sound_write(&shared, slots, count);
    overruns += !broken && shared.broken;
    if (size % 8 != 0) continue;
    while (atomic_load(&shared.read) != atomic_load(&shared.written)) sched_yield();
  }
  atomic_store(&finished, true);
  return NULL;
}

/* Two tasks at once: the numbers count up without a jump, except where a gap is reported, and every missing number is counted. */
static void test_tasks(checks *c) {
  static int16_t room[256];
  aiot_sound_init(&shared, room, ROWS(room));
  pthread_t writer;
  if (pthread_create(&writer, NULL, write_all, NULL) != 0) exit(2);
  uint32_t read = 0, jumps = 0, gaps = 0;
  uint16_t next = 0;
  for (;;) {
    double value;
    bool gap;
    const bool over = atomic_load(&finished);
    if (!aiot_sound_read(&shared, &value, &gap)) {
      if (over) break;
      continue;
    }
    const uint16_t got = (uint16_t)(int32_t)(value * 32768);
    gaps += gap;
    jumps += !gap && got != next;
    next = (uint16_t)(got + 1);
    read++;
  }
  pthread_join(writer, NULL);
  check_equal(c, "jumps without a gap", 0, 0, jumps);
  /* The last overrun has no samples after it. */
  check_equal(c, "gaps", 0, overruns - shared.broken, gaps);
  check_at(c, "two tasks", "read and overruns", read, read > 1000 && gaps > 10);
  check_equal(c, "read and lost", 0, TOTAL, (int64_t)read + aiot_sound_lost(&shared));
  printf("two tasks: %u samples read, %u lost, %u gaps\n", (unsigned)read, (unsigned)aiot_sound_lost(&shared), (unsigned)gaps);
}

/* Files that are not one channel of 16-bit PCM, and files that end early. */
static void test_files(checks *c, const char *scratch) {
  static uint8_t data[4096];
  char path[512];
  snprintf(path, sizeof path, "%s/sound.wav", folder);
  FILE *from = fopen(path, "rb");
  if (from == NULL) exit(2);
  const size_t bytes = fread(data, 1, sizeof data, from);
  fclose(from);
  aiot_wav wav;
  check_at(c, "wav", "missing file", 0, !aiot_wav_open(&wav, "/nonexistent/sound.wav"));
  size_t head = 12;
  while (head < bytes && memcmp(data + head, "data", 4) != 0) head++;
  const struct {
    size_t at;
    uint8_t value;
  } change[] = {{0, 'X'}, {8, 'X'}, {20, 3}, {22, 2}, {34, 8}};
  for (size_t i = 0; i <= ROWS(change) + head; i++) {
    uint8_t was = 0;
    if (i < ROWS(change)) {
      was = data[change[i].at];
      data[change[i].at] = change[i].value;
    }
    FILE *to = fopen(scratch, "wb");
    if (to == NULL) exit(2);
    fwrite(data, 1, i < ROWS(change) ? bytes : i - ROWS(change), to);
    fclose(to);
    check_at(c, "wav", "rejected", i, !aiot_wav_open(&wav, scratch));
    if (i < ROWS(change)) data[change[i].at] = was;
  }
  FILE *to = fopen(scratch, "wb");
  if (to == NULL) exit(2);
  fwrite(data, 1, head + 8 + 21, to);
  fclose(to);
  int16_t room[64];
  aiot_sound sound;
  aiot_sound_init(&sound, room, ROWS(room));
  check_at(c, "wav", "a file that ends early", 0, aiot_wav_open(&wav, scratch));
  check_equal(c, "its samples", 0, 10, (int64_t)aiot_wav_read(&wav, &sound, 64));
  check_equal(c, "its end", 0, 0, (int64_t)aiot_wav_read(&wav, &sound, 64));
  aiot_wav_close(&wav);
  remove(scratch);
}

int main(int count, char **arguments) {
  if (count != 3) return 2;
  folder = arguments[1];
  checks c = {0, 0};
  for (size_t i = 0; i < ROWS(sound_rows); i++) test_messages(&c, &sound_rows[i]);
  test_overrun(&c);
  test_tasks(&c);
  test_files(&c, arguments[2]);
  return checks_end(&c);
}

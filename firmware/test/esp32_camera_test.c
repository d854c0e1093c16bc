/*
 * Tests hal/esp32's camera on a simulated driver, whose pictures are files: settings and pins, the pixels that the model gets, the period,
 * pictures that come too early, and a camera that fails. The argument is the path of a picture that the test writes.
 */
#include <stdlib.h>
#include <string.h>

#include "aiot/fit.h"
#include "check.h"
#include "esp32.h"
#include "esp_camera.h"
#include "frames.h"
#include "freertos/task.h"
#include "settings.h"

enum {
  LARGE = AIOT_CAMERA_WIDTH > 160 || AIOT_CAMERA_HEIGHT > 120,
  WIDTH = LARGE ? 320 : 160,
  HEIGHT = LARGE ? 240 : 120,
  CHANNELS = AIOT_CAMERA_CHANNELS,
  PIXELS = AIOT_CAMERA_WIDTH * AIOT_CAMERA_HEIGHT,
  ROOM = 3 * WIDTH * HEIGHT,
  PERIOD_MS = 1000
};

static struct {
  const char *path;
  camera_config_t config;
  unsigned inits, deinits, gets, returns;
  uint32_t delayed_ms;
  bool absent, silent, jpeg, wrong_size;
  camera_fb_t frame;
  uint8_t data[ROOM];
} sim;

void vTaskDelay(TickType_t ticks) { sim.delayed_ms += (uint32_t)ticks; }

esp_err_t esp_camera_init(const camera_config_t *config) {
  sim.config = *config;
  sim.inits++;
  return sim.absent ? -1 : ESP_OK;
}

esp_err_t esp_camera_deinit(void) {
  sim.deinits++;
  return ESP_OK;
}

camera_fb_t *esp_camera_fb_get(void) {
  sim.gets++;
  aiot_frame frame;
  if (sim.silent) return NULL;
  if (!aiot_frame_read(&frame, sim.path, CHANNELS == 1 ? AIOT_PIXELS_GRAY : AIOT_PIXELS_RGB565, sim.data, sizeof sim.data)) exit(2);
  sim.frame = (camera_fb_t){sim.data, frame.bytes, frame.width + sim.wrong_size, frame.height, sim.jpeg ? PIXFORMAT_JPEG : sim.config.pixel_format};
  return &sim.frame;
}

void esp_camera_fb_return(camera_fb_t *frame) { sim.returns += frame == &sim.frame; }

/* Writes a picture that differs in each pixel and for each `seed`. */
static void draw(unsigned seed) {
  FILE *file = fopen(sim.path, "wb");
  if (file == NULL) exit(2);
  fprintf(file, "P%c\n%d %d\n255\n", CHANNELS == 1 ? '5' : '6', WIDTH, HEIGHT);
  for (int i = 0; i < WIDTH * HEIGHT * CHANNELS; i++) fputc((int)((unsigned)i * 31u / 7u + (unsigned)i / WIDTH * seed) & 255, file);
  fclose(file);
}

static const aiot_esp32_source *source;

/* Reads until a picture has been requested. Returns the last result. */
static int read_next(checks *c) {
  const unsigned before = sim.gets;
  int result = 0;
  for (int i = 0; i < 100 && sim.gets == before; i++) {
    bool gap = true;
    double none[3] = {0};
    const uint32_t since = sim.delayed_ms;
    result = source->read(none, 1, &gap);
    check_at(c, "read", "no gap, and no long pause", 0, !gap && sim.delayed_ms - since <= 250);
  }
  return result;
}

/* Compares the pixels that the program takes with the picture file, fitted to the model. */
static void check_picture(checks *c, size_t index) {
  static uint8_t memory[4 * ROOM], data[ROOM], expected[PIXELS * CHANNELS];
  aiot_frame frame;
  if (!aiot_frame_read(&frame, sim.path, CHANNELS == 1 ? AIOT_PIXELS_GRAY : AIOT_PIXELS_RGB565, data, sizeof data)) exit(2);
  const aiot_image_spec target = {AIOT_CAMERA_WIDTH, AIOT_CAMERA_HEIGHT, AIOT_CAMERA_FIT};
  aiot_arena arena;
  aiot_arena_init(&arena, memory, sizeof memory);
  aiot_fitter *fitter;
  if (aiot_fitter_open(&target, CHANNELS, WIDTH, HEIGHT, &arena, &fitter) != AIOT_OK) exit(2);
  aiot_fitter_run(fitter, data, frame.format, expected);
  size_t equal = 0;
  double values[3];
  for (size_t i = 0; i < PIXELS; i++) {
    if (!aiot_esp32_camera_take(values)) break;
    for (size_t ch = 0; ch < CHANNELS; ch++) equal += values[ch] == expected[i * CHANNELS + ch];
  }
  check_equal(c, "equal values of picture", index, (int64_t)PIXELS * CHANNELS, (int64_t)equal);
  check_at(c, "picture", "ends", index, !aiot_esp32_camera_take(values));
}

static void test_settings(checks *c) {
  static const int pins[] = {AIOT_CAMERA_PINS};
  const camera_config_t *config = &sim.config;
  const int used[] = {config->pin_pwdn, config->pin_reset, config->pin_xclk, config->pin_sccb_sda, config->pin_sccb_scl, config->pin_d7,    config->pin_d6,   config->pin_d5,
                      config->pin_d4,   config->pin_d3,    config->pin_d2,   config->pin_d1,       config->pin_d0,       config->pin_vsync, config->pin_href, config->pin_pclk};
  check_at(c, "settings", "pins", 0, sizeof pins == sizeof used && memcmp(pins, used, sizeof used) == 0);
  for (size_t i = 0; i < 16; i++) {
    for (size_t j = 0; j < i; j++) check_at(c, "settings", "pins differ", i, used[i] < 0 || used[i] != used[j]);
  }
  check_equal(c, "settings", 0, CHANNELS == 1 ? PIXFORMAT_GRAYSCALE : PIXFORMAT_RGB565, config->pixel_format);
  check_equal(c, "settings", 1, LARGE ? FRAMESIZE_QVGA : FRAMESIZE_QQVGA, config->frame_size);
  check_at(c, "settings", "the servo's timer is free", 0, config->ledc_timer != LEDC_TIMER_0 && config->ledc_channel != LEDC_CHANNEL_0);
  check_equal(c, "fields", 0, CHANNELS, (int64_t)source->fields);
  check_at(c, "fields", "names", 0, strcmp(source->field[0], CHANNELS == 1 ? "gray" : "red") == 0);
  check_equal(c, "pixels per second", 0, PIXELS, (int64_t)source->rate_hz);
}

int main(int count, char **arguments) {
  if (count != 2) return 2;
  sim.path = arguments[1];
  checks c = {0, 0};
  double values[3];
  source = aiot_esp32_source_camera();
  check_at(&c, "start", "no picture", 0, !aiot_esp32_camera_take(values));
  sim.absent = true;
  check_equal(&c, "no camera", 0, AIOT_SENSOR_ABSENT, source->open());
  sim.absent = false;
  draw(1);
  check_equal(&c, "open", 0, AIOT_SENSOR_OK, source->open());
  check_at(&c, "open", "the first pictures are dropped", 0, sim.gets == 5 && sim.returns == 5 && !aiot_esp32_camera_take(values));
  test_settings(&c);
  for (unsigned i = 0; i < 4; i++) {
    draw(i + 2);
    const uint32_t before = sim.delayed_ms;
    check_equal(&c, "read", i, 0, read_next(&c));
    check_equal(&c, "pause", i, i == 0 ? 0 : PERIOD_MS, sim.delayed_ms - before);
    check_picture(&c, i);
  }
  /* The model is at the second pixel when the next pictures arrive: they are skipped. */
  draw(7);
  read_next(&c);
  check_at(&c, "skipped", "first pixel", 0, aiot_esp32_camera_take(values));
  draw(8);
  for (int i = 0; i < 3; i++) check_equal(&c, "skipped", (size_t)i, 0, read_next(&c));
  size_t left = 0;
  while (aiot_esp32_camera_take(values)) left++;
  check_equal(&c, "pixels left", 0, PIXELS - 1, (int64_t)left);
  read_next(&c);
  check_picture(&c, 8);
  check_equal(&c, "returned pictures", 0, sim.gets, sim.returns);
  /* Failures: the camera is started again, and continues. */
  bool *const failures[] = {&sim.silent, &sim.jpeg, &sim.wrong_size};
  for (size_t i = 0; i < 3; i++) {
    *failures[i] = true;
    check_equal(&c, "failure", i, -1, read_next(&c));
    if (failures[i] == &sim.silent) check_equal(&c, "open while silent", i, AIOT_SENSOR_FAILED, source->open());
    *failures[i] = false;
    const unsigned ended = sim.deinits;
    check_equal(&c, "open again", i, AIOT_SENSOR_OK, source->open());
    check_equal(&c, "ended first", i, ended + 1, sim.deinits);
    draw((unsigned)i + 20);
    check_equal(&c, "read again", i, 0, read_next(&c));
    check_picture(&c, 20 + i);
  }
  remove(sim.path);
  return checks_end(&c);
}

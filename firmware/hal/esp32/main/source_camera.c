/*
 * A camera as source: an OV2640 (or another sensor that the component esp32-camera knows), whose pictures become the pixels of a model.
 * idf_component.yml requires the component only if settings.h selects this source, so without it, this file needs none of its headers.
 */
#include "esp32.h"
#include "settings.h"

#if AIOT_SOURCE == AIOT_SOURCE_OV2640
#include <stdlib.h>

#include "aiot/camera.h"
#include "esp_camera.h"
#include "freertos/FreeRTOS.h"
#include "freertos/task.h"

/*
 * WIDTH, HEIGHT: size of the camera's pictures, the smallest of the two sizes that covers the model's. WEIGHTS: memory of the fitter apart from
 * its picture. SETTLE: pictures after the start whose exposure is still wrong. WAIT_MS: longest pause, so that the task stays responsive.
 */
enum {
  LARGE = AIOT_CAMERA_WIDTH > 160 || AIOT_CAMERA_HEIGHT > 120,
  WIDTH = LARGE ? 320 : 160,
  HEIGHT = LARGE ? 240 : 120,
  WEIGHTS = 2048,
  MEMORY = AIOT_CAMERA_CHANNELS * AIOT_CAMERA_WIDTH * (HEIGHT + AIOT_CAMERA_HEIGHT) + WEIGHTS,
  SETTLE = 5,
  WAIT_MS = 100,
  PERIOD_MS = (int)(1000.0 * AIOT_CAMERA_WIDTH * AIOT_CAMERA_HEIGHT / AIOT_CAMERA_HZ)
};

static aiot_camera camera;
static atomic_bool prepared;
static bool running;
/* Time until the next picture. */
static int left_ms;

static bool prepare(void) {
  static void *memory;
  if (memory == NULL) memory = malloc(MEMORY);
  if (memory == NULL) return false;
  const aiot_image_spec target = {AIOT_CAMERA_WIDTH, AIOT_CAMERA_HEIGHT, AIOT_CAMERA_FIT};
  aiot_arena arena;
  aiot_arena_init(&arena, memory, MEMORY);
  return aiot_camera_open(&camera, &target, AIOT_CAMERA_CHANNELS, WIDTH, HEIGHT, &arena) == AIOT_OK;
}

static aiot_sensor_code open_camera(void) {
  static const int pins[] = {AIOT_CAMERA_PINS};
  const camera_config_t config = {
      .pin_pwdn = pins[0],
      .pin_reset = pins[1],
      .pin_xclk = pins[2],
      .pin_sccb_sda = pins[3],
      .pin_sccb_scl = pins[4],
      .pin_d7 = pins[5],
      .pin_d6 = pins[6],
      .pin_d5 = pins[7],
      .pin_d4 = pins[8],
      .pin_d3 = pins[9],
      .pin_d2 = pins[10],
      .pin_d1 = pins[11],
      .pin_d0 = pins[12],
      .pin_vsync = pins[13],
      .pin_href = pins[14],
      .pin_pclk = pins[15],
      .xclk_freq_hz = 20000000,
      /* The servo uses the first timer and channel. */
      .ledc_timer = LEDC_TIMER_1,
      .ledc_channel = LEDC_CHANNEL_1,
      /* A model needs pixels, so the camera must not compress them. */
      .pixel_format = AIOT_CAMERA_CHANNELS == 1 ? PIXFORMAT_GRAYSCALE : PIXFORMAT_RGB565,
      .frame_size = LARGE ? FRAMESIZE_QVGA : FRAMESIZE_QQVGA,
      /* With two buffers, the picture is a recent one, even if the last was taken long ago. */
      .fb_count = 2,
      .fb_location = CAMERA_FB_IN_PSRAM,
      .grab_mode = CAMERA_GRAB_LATEST,
  };
  if (!atomic_load(&prepared)) atomic_store(&prepared, prepare());
  if (!atomic_load(&prepared)) return AIOT_SENSOR_FAILED;
  if (running) esp_camera_deinit();
  running = esp_camera_init(&config) == ESP_OK;
  if (!running) return AIOT_SENSOR_ABSENT;
  for (int i = 0; i < SETTLE; i++) {
    camera_fb_t *frame = esp_camera_fb_get();
    if (frame == NULL) return AIOT_SENSOR_FAILED;
    esp_camera_fb_return(frame);
  }
  left_ms = 0;
  return AIOT_SENSOR_OK;
}

/* Takes a picture when it is due. If the model is still reading the previous one, the picture is skipped. */
static int read_camera(double *values, size_t room, bool *gap) {
  (void)values;
  (void)room;
  *gap = false;
  if (left_ms > 0) {
    const int pause = left_ms < WAIT_MS ? left_ms : WAIT_MS;
    vTaskDelay(pdMS_TO_TICKS(pause));
    left_ms -= pause;
    return 0;
  }
  left_ms = PERIOD_MS;
  camera_fb_t *frame = esp_camera_fb_get();
  if (frame == NULL) return -1;
  const pixformat_t format = frame->format;
  const aiot_frame picture = {frame->buf, frame->len, frame->width, frame->height, format == PIXFORMAT_GRAYSCALE ? AIOT_PIXELS_GRAY : AIOT_PIXELS_RGB565};
  const bool known = format == PIXFORMAT_GRAYSCALE || format == PIXFORMAT_RGB565;
  const bool good = known && aiot_camera_write(&camera, &picture) != AIOT_CAMERA_REJECTED;
  esp_camera_fb_return(frame);
  return good ? 0 : -1;
}

const aiot_esp32_source *aiot_esp32_source_camera(void) {
  static const char *const gray[] = {"gray"}, *const color[] = {"red", "green", "blue"};
  static const aiot_esp32_source source = {AIOT_CAMERA_HZ, AIOT_CAMERA_CHANNELS, AIOT_CAMERA_CHANNELS == 1 ? gray : color, open_camera, read_camera};
  return &source;
}

bool aiot_esp32_camera_take(double *values) { return atomic_load(&prepared) && aiot_camera_read(&camera, values); }
#else
const aiot_esp32_source *aiot_esp32_source_camera(void) { return NULL; }

bool aiot_esp32_camera_take(double *values) {
  (void)values;
  return false;
}
#endif

/* Sources on digital buses: an IMU on I2C, a thermometer on 1-Wire, a microphone on I2S. */
#include <math.h>
#include <stdatomic.h>

#include "aiot/imu.h"
#include "aiot/sensors.h"
#include "aiot/sound.h"
#include "driver/i2s_std.h"
#include "esp32.h"
#include "esp_attr.h"
#include "freertos/FreeRTOS.h"
#include "freertos/task.h"
#include "settings.h"

static aiot_imu imu;

static aiot_sensor_code open_imu(void) {
  const aiot_imu_chip chip = AIOT_SOURCE == AIOT_SOURCE_LSM6DS3TRC ? AIOT_LSM6DS3TRC : AIOT_MPU6050;
  const uint8_t address = chip == AIOT_MPU6050 ? 0x68 : 0x6a;
  const aiot_i2c *bus = aiot_esp32_i2c_open(AIOT_SDA_PIN, AIOT_SCL_PIN, address);
  if (bus == NULL) return AIOT_SENSOR_FAILED;
  const aiot_imu_setup setup = {chip, bus, address, AIOT_IMU_RATE_HZ, AIOT_IMU_RANGE_G, AIOT_IMU_RANGE_DPS, AIOT_IMU_PER_G};
  return aiot_imu_open(&imu, &setup);
}

static int read_imu(double *values, size_t room, bool *gap) {
  /* After a tenth of a second, a transaction reads several samples, and the FIFO is far from full. */
  vTaskDelay(pdMS_TO_TICKS(100));
  aiot_imu_reading reading;
  const aiot_sensor_code code = aiot_imu_read(&imu, values, room, &reading);
  *gap = *gap || reading.broken;
  return code == AIOT_SENSOR_OK || reading.count > 0 ? (int)reading.count : -1;
}

const aiot_esp32_source *aiot_esp32_source_imu(void) {
  static const char *const fields[] = {"ax", "ay", "az", "gx", "gy", "gz"};
  static const aiot_esp32_source source = {AIOT_IMU_RATE_HZ, AIOT_IMU_RANGE_DPS == 0 ? 3 : 6, fields, open_imu, read_imu};
  return &source;
}

static const aiot_wire *wire;

static aiot_sensor_code open_thermometer(void) {
  wire = aiot_esp32_wire_open(AIOT_WIRE_PIN);
  if (wire == NULL) return AIOT_SENSOR_FAILED;
  return aiot_ds18b20_convert(wire) ? AIOT_SENSOR_OK : AIOT_SENSOR_ABSENT;
}

/* Reads the thermometer, with one conversion per second. */
static int read_thermometer(double *values, size_t room, bool *gap) {
  static unsigned waited;
  vTaskDelay(pdMS_TO_TICKS(200));
  if (++waited < 5 || room == 0) return 0;
  waited = 0;
  const bool good = aiot_ds18b20_read(wire, values) == AIOT_SENSOR_OK;
  if (!aiot_ds18b20_convert(wire)) return -1;
  *gap = *gap || !good;
  return good ? 1 : 0;
}

const aiot_esp32_source *aiot_esp32_source_thermometer(void) {
  static const char *const fields[] = {"temperature"};
  static const aiot_esp32_source source = {1, 1, fields, open_thermometer, read_thermometer};
  return &source;
}

static i2s_chan_handle_t microphone;
static bool listening;
/* Number of slots that the driver has lost since the start, because the sampler's task did not read them. */
static atomic_uint overrun;

/* Runs in an interrupt. */
static bool IRAM_ATTR count_overrun(i2s_chan_handle_t handle, i2s_event_data_t *event, void *context) {
  (void)handle;
  (void)context;
  atomic_fetch_add(&overrun, (unsigned)(event->size / sizeof(int32_t)));
  return false;
}

static aiot_sensor_code open_microphone(void) {
  static const int pins[] = {AIOT_I2S_PINS};
  const i2s_chan_config_t channel = I2S_CHANNEL_DEFAULT_CONFIG(I2S_NUM_AUTO, I2S_ROLE_MASTER);
  const i2s_std_config_t config = {
      .clk_cfg = I2S_STD_CLK_DEFAULT_CONFIG(AIOT_SOUND_HZ),
      /* The format is 24 bits in a 32-bit slot. With L/R tied to ground, the microphone sends on the left channel. */
      .slot_cfg = I2S_STD_PHILIPS_SLOT_DEFAULT_CONFIG(I2S_DATA_BIT_WIDTH_32BIT, I2S_SLOT_MODE_MONO),
      .gpio_cfg = {.mclk = I2S_GPIO_UNUSED, .bclk = (gpio_num_t)pins[0], .ws = (gpio_num_t)pins[1], .dout = I2S_GPIO_UNUSED, .din = (gpio_num_t)pins[2]},
  };
  if (microphone == NULL && i2s_new_channel(&channel, NULL, &microphone) != ESP_OK) return AIOT_SENSOR_FAILED;
  /* The channel is set up only once. After silence, reading simply continues. */
  const i2s_event_callbacks_t events = {.on_recv_q_ovf = count_overrun};
  if (!listening)
    listening = i2s_channel_init_std_mode(microphone, &config) == ESP_OK && i2s_channel_register_event_callback(microphone, &events, NULL) == ESP_OK &&
                i2s_channel_enable(microphone) == ESP_OK;
  /* The microphone needs 2^18 clocks to wake up, a quarter of a second at 16 kHz. */
  vTaskDelay(pdMS_TO_TICKS(300));
  return listening ? AIOT_SENSOR_OK : AIOT_SENSOR_FAILED;
}

/* Reads the loudness ten times a second: RMS, peak and dB SPL. */
static int read_microphone(double *values, size_t room, bool *gap) {
  static int32_t slots[AIOT_SOUND_HZ / 10];
  size_t bytes = 0;
  (void)gap;
  if (room == 0) return 0;
  if (i2s_channel_read(microphone, slots, sizeof slots, &bytes, 250) != ESP_OK) return -1;
  const size_t count = bytes / sizeof slots[0];
  if (count == 0) return 0;
  double mean = 0, squares = 0, peak = 0;
  for (size_t i = 0; i < count; i++) mean += aiot_inmp441_sample(slots[i]);
  mean /= (double)count;
  for (size_t i = 0; i < count; i++) {
    const double x = aiot_inmp441_sample(slots[i]) - mean;
    squares += x * x;
    peak = fmax(peak, fabs(x));
  }
  values[0] = sqrt(squares / (double)count);
  values[1] = peak;
  values[2] = aiot_inmp441_decibels(fmax(values[0], 1e-7));
  return 1;
}

const aiot_esp32_source *aiot_esp32_source_microphone(void) {
  static const char *const fields[] = {"rms", "peak", "level"};
  static const aiot_esp32_source source = {10, 3, fields, open_microphone, read_microphone};
  return &source;
}

static aiot_sound sound;
static aiot_sensor_code open_sound(void) {
  static int16_t samples[AIOT_SOUND_ROOM];
  if (sound.sample == NULL && !aiot_sound_init(&sound, samples, AIOT_SOUND_ROOM)) return AIOT_SENSOR_FAILED;
  aiot_sound_break(&sound, 0);
  return open_microphone();
}

/* Moves ten milliseconds of samples to their buffer. */
static int read_sound(double *values, size_t room, bool *gap) {
  static int32_t slots[AIOT_SOUND_HZ / 100];
  static unsigned told;
  size_t bytes = 0;
  (void)values;
  (void)room;
  *gap = false;
  if (i2s_channel_read(microphone, slots, sizeof slots, &bytes, 250) != ESP_OK) return -1;
  const unsigned lost = atomic_load(&overrun);
  if (lost != told) aiot_sound_break(&sound, lost - told);
  told = lost;
  aiot_sound_write(&sound, slots, bytes / sizeof slots[0]);
  return 0;
}

const aiot_esp32_source *aiot_esp32_source_sound(void) {
  static const char *const fields[] = {"sound"};
  static const aiot_esp32_source source = {AIOT_SOUND_HZ, 1, fields, open_sound, read_sound};
  return &source;
}

bool aiot_esp32_sound_take(double *value, bool *gap) { return sound.sample != NULL && aiot_sound_read(&sound, value, gap); }

uint32_t aiot_esp32_sound_lost(void) { return aiot_sound_lost(&sound); }

/* I2C uses the driver of ESP-IDF 5. 1-Wire is controlled by software: its slots take microseconds and must not be interrupted. */
#include "driver/gpio.h"
#include "driver/i2c_master.h"
#include "esp32.h"
#include "esp_rom_sys.h"
#include "freertos/FreeRTOS.h"
#include "freertos/task.h"

enum { BUS_HZ = 400000, TIMEOUT_MS = 50, LONGEST = 240 };

static i2c_master_dev_handle_t chip;

static bool bus_read(void *context, uint8_t address, uint8_t reg, uint8_t *out, size_t bytes) {
  (void)context;
  (void)address;
  return i2c_master_transmit_receive(chip, &reg, 1, out, bytes, TIMEOUT_MS) == ESP_OK;
}

static bool bus_write(void *context, uint8_t address, uint8_t reg, uint8_t value) {
  (void)context;
  (void)address;
  const uint8_t bytes[2] = {reg, value};
  return i2c_master_transmit(chip, bytes, sizeof bytes, TIMEOUT_MS) == ESP_OK;
}

static void wait_ms(void *context, uint32_t ms) {
  (void)context;
  vTaskDelay(pdMS_TO_TICKS(ms) + 1);
}

const aiot_i2c *aiot_esp32_i2c_open(int sda, int scl, uint8_t address) {
  static const aiot_i2c table = {NULL, bus_read, bus_write, wait_ms, LONGEST};
  static i2c_master_bus_handle_t bus;
  const i2c_master_bus_config_t pins = {
      .i2c_port = -1,
      .sda_io_num = (gpio_num_t)sda,
      .scl_io_num = (gpio_num_t)scl,
      .clk_source = I2C_CLK_SRC_DEFAULT,
      .glitch_ignore_cnt = 7,
      /* The internal pull-up has about 45 kohm, which is sufficient on a desk, but not with a cable. */
      .flags.enable_internal_pullup = true,
  };
  const i2c_device_config_t device = {.dev_addr_length = I2C_ADDR_BIT_LEN_7, .device_address = address, .scl_speed_hz = BUS_HZ};
  if (bus == NULL && i2c_new_master_bus(&pins, &bus) != ESP_OK) return NULL;
  if (chip == NULL && i2c_master_bus_add_device(bus, &device, &chip) != ESP_OK) return NULL;
  return &table;
}

static int wire_pin;
static portMUX_TYPE guard = portMUX_INITIALIZER_UNLOCKED;

static void low(void) { gpio_set_level((gpio_num_t)wire_pin, 0); }
static void release(void) { gpio_set_level((gpio_num_t)wire_pin, 1); }

static bool wire_reset(void *context) {
  (void)context;
  low();
  esp_rom_delay_us(480);
  portENTER_CRITICAL(&guard);
  release();
  esp_rom_delay_us(70);
  const bool present = gpio_get_level((gpio_num_t)wire_pin) == 0;
  portEXIT_CRITICAL(&guard);
  esp_rom_delay_us(410);
  /* If the wire is still low, there is a short circuit. */
  return present && gpio_get_level((gpio_num_t)wire_pin) == 1;
}

static void wire_write(void *context, bool bit) {
  (void)context;
  portENTER_CRITICAL(&guard);
  low();
  esp_rom_delay_us(bit ? 6 : 60);
  release();
  portEXIT_CRITICAL(&guard);
  esp_rom_delay_us(bit ? 64 : 10);
}

static bool wire_read(void *context) {
  (void)context;
  portENTER_CRITICAL(&guard);
  low();
  esp_rom_delay_us(6);
  release();
  esp_rom_delay_us(9);
  const bool bit = gpio_get_level((gpio_num_t)wire_pin) == 1;
  portEXIT_CRITICAL(&guard);
  esp_rom_delay_us(55);
  return bit;
}

const aiot_wire *aiot_esp32_wire_open(int pin) {
  static const aiot_wire table = {NULL, wire_reset, wire_write, wire_read, wait_ms};
  const gpio_config_t config = {
      .pin_bit_mask = 1ull << (unsigned)pin,
      .mode = GPIO_MODE_INPUT_OUTPUT_OD,
      .pull_up_en = GPIO_PULLUP_ENABLE,
      .pull_down_en = GPIO_PULLDOWN_DISABLE,
      .intr_type = GPIO_INTR_DISABLE,
  };
  wire_pin = pin;
  if (gpio_config(&config) != ESP_OK) return NULL;
  release();
  return &table;
}

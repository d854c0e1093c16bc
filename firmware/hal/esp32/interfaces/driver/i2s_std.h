#ifndef AIOT_DECLARED_DRIVER_I2S_STD_H
#define AIOT_DECLARED_DRIVER_I2S_STD_H

#include "driver/gpio.h"

typedef struct i2s_channel_obj_t *i2s_chan_handle_t;
typedef enum { I2S_NUM_AUTO = 100 } i2s_port_t;
typedef enum { I2S_ROLE_MASTER } i2s_role_t;
typedef enum { I2S_DATA_BIT_WIDTH_32BIT = 32 } i2s_data_bit_width_t;
typedef enum { I2S_SLOT_MODE_MONO = 1 } i2s_slot_mode_t;
#define I2S_GPIO_UNUSED -1

typedef struct {
  i2s_port_t id;
  i2s_role_t role;
} i2s_chan_config_t;

typedef struct {
  struct {
    uint32_t sample_rate_hz;
  } clk_cfg;
  struct {
    i2s_data_bit_width_t data_bit_width;
    i2s_slot_mode_t slot_mode;
  } slot_cfg;
  struct {
    gpio_num_t mclk;
    gpio_num_t bclk;
    gpio_num_t ws;
    gpio_num_t dout;
    gpio_num_t din;
  } gpio_cfg;
} i2s_std_config_t;

/* ESP-IDF's event has further members. */
typedef struct {
  size_t size;
} i2s_event_data_t;
typedef bool (*i2s_isr_callback_t)(i2s_chan_handle_t handle, i2s_event_data_t *event, void *user_ctx);
typedef struct {
  i2s_isr_callback_t on_recv;
  i2s_isr_callback_t on_recv_q_ovf;
  i2s_isr_callback_t on_sent;
  i2s_isr_callback_t on_send_q_ovf;
} i2s_event_callbacks_t;

#define I2S_CHANNEL_DEFAULT_CONFIG(port, part) {.id = (port), .role = (part)}
#define I2S_STD_CLK_DEFAULT_CONFIG(rate) {.sample_rate_hz = (rate)}
#define I2S_STD_PHILIPS_SLOT_DEFAULT_CONFIG(bits, mode) {.data_bit_width = (bits), .slot_mode = (mode)}

esp_err_t i2s_new_channel(const i2s_chan_config_t *config, i2s_chan_handle_t *out, i2s_chan_handle_t *in);
esp_err_t i2s_channel_init_std_mode(i2s_chan_handle_t channel, const i2s_std_config_t *config);
esp_err_t i2s_channel_register_event_callback(i2s_chan_handle_t handle, const i2s_event_callbacks_t *callbacks, void *user_data);
esp_err_t i2s_channel_enable(i2s_chan_handle_t channel);
esp_err_t i2s_channel_read(i2s_chan_handle_t channel, void *out, size_t bytes, size_t *got, uint32_t timeout_ms);

#endif

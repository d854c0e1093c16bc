/* The guide's valve: a hobby servo that follows the model's value by the rule of aiot/rule.h. It needs no network connection. */
#include "aiot/json.h"
#include "aiot/rule.h"
#include "driver/ledc.h"
#include "esp32.h"

enum { HZ = 50, BITS = 14 };

static aiot_rule rule;
static aiot_servo servo;
static bool started;
/* The configuration's rule, which may be set before the servo is started. */
static aiot_rule_spec spec;
static bool ruled;

static void write_pulse(void) {
  ledc_set_duty(LEDC_LOW_SPEED_MODE, LEDC_CHANNEL_0, aiot_servo_duty(servo.degrees, BITS, HZ));
  ledc_update_duty(LEDC_LOW_SPEED_MODE, LEDC_CHANNEL_0);
}

bool aiot_esp32_servo_start(int pin, uint64_t now_ms) {
  if (!ruled) spec = aiot_rule_default();
  aiot_rule_init(&rule, &spec, now_ms);
  /* The first pulse is that of the rule's fail-safe position, so that the servo does not sweep at startup. */
  aiot_servo_init(&servo, rule.on, now_ms);
  /* 14 bits is the maximum resolution of the timers of an ESP32-C3. */
  const ledc_timer_config_t timer = {
      .speed_mode = LEDC_LOW_SPEED_MODE, .duty_resolution = LEDC_TIMER_14_BIT, .timer_num = LEDC_TIMER_0, .freq_hz = HZ, .clk_cfg = LEDC_AUTO_CLK};
  const ledc_channel_config_t channel = {
      .gpio_num = pin, .speed_mode = LEDC_LOW_SPEED_MODE, .channel = LEDC_CHANNEL_0, .timer_sel = LEDC_TIMER_0, .duty = aiot_servo_duty(servo.degrees, BITS, HZ)};
  started = ledc_timer_config(&timer) == ESP_OK && ledc_channel_config(&channel) == ESP_OK;
  return started;
}

static void follow(bool moved) {
  if (moved) aiot_servo_turn(&servo, rule.on);
}

void aiot_esp32_servo_rule(const aiot_rule_spec *set, uint64_t now_ms) {
  spec = *set;
  ruled = true;
  if (!started) return;
  /* The servo keeps its position until the new rule changes it. */
  const bool on = rule.on;
  aiot_rule_init(&rule, &spec, now_ms);
  rule.on = on;
}

void aiot_esp32_servo_answer(const char *text, size_t bytes, uint64_t now_ms) {
  aiot_json json;
  double value = 0;
  bool has_value = false;
  aiot_json_begin(&json, text, bytes);
  aiot_json_enter(&json, '{');
  while (aiot_json_key(&json)) {
    if (aiot_json_is(&json, "value") && aiot_json_peek(&json) == '0') {
      value = aiot_json_number(&json);
      has_value = true;
    } else {
      aiot_json_skip(&json);
    }
  }
  if (started && has_value && aiot_json_done(&json)) follow(aiot_rule_answer(&rule, value, now_ms));
}

void aiot_esp32_servo_turn(bool on) {
  if (started) aiot_servo_turn(&servo, on);
}

void aiot_esp32_servo_step(uint64_t now_ms) {
  if (!started) return;
  follow(aiot_rule_tick(&rule, now_ms));
  if (aiot_servo_step(&servo, now_ms)) write_pulse();
}

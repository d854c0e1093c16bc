#include "aiot/rule.h"

#include <math.h>

aiot_rule_spec aiot_rule_default(void) {
  return (aiot_rule_spec){.on_above = 0.8, .off_below = 0.7, .min_on_ms = 5000, .min_off_ms = 5000, .loss_ms = 30000, .safe_on = false};
}

bool aiot_rule_init(aiot_rule *rule, const aiot_rule_spec *spec, uint64_t now_ms) {
  *rule = (aiot_rule){.spec = *spec, .on = spec->safe_on, .reason = AIOT_RULE_BOOT, .since_ms = now_ms, .answered_ms = now_ms};
  return spec->off_below <= spec->on_above;
}

static bool change(aiot_rule *rule, bool on, aiot_rule_reason reason, uint64_t now_ms) {
  const bool moved = rule->on != on;
  /* If the position is unchanged, only the reason may change; the time of the last change stays. */
  rule->reason = reason;
  if (!moved) return false;
  rule->on = on;
  rule->turned = true;
  rule->since_ms = now_ms;
  return true;
}

bool aiot_rule_answer(aiot_rule *rule, double value, uint64_t now_ms) {
  if (isnan(value)) return aiot_rule_tick(rule, now_ms);
  rule->answered_ms = now_ms;
  const bool wanted = rule->on ? !(value < rule->spec.off_below) : value > rule->spec.on_above;
  if (wanted == rule->on) return change(rule, wanted, AIOT_RULE_ANSWER, now_ms);
  /* No minimum time applies to the position at boot, so that a fault that is detected immediately has an effect at once. */
  const uint32_t least = rule->on ? rule->spec.min_on_ms : rule->spec.min_off_ms;
  if (rule->turned && now_ms - rule->since_ms < least) return false;
  return change(rule, wanted, AIOT_RULE_ANSWER, now_ms);
}

bool aiot_rule_tick(aiot_rule *rule, uint64_t now_ms) {
  if (now_ms - rule->answered_ms <= rule->spec.loss_ms) return false;
  return change(rule, rule->spec.safe_on, AIOT_RULE_LOSS, now_ms);
}

enum { LEAST_US = 544, MOST_US = 2400, MOST_DEGREES = 180 };

double aiot_servo_pulse_us(double degrees) {
  const double within = fmin(fmax(degrees, 0), MOST_DEGREES);
  return LEAST_US + within * (MOST_US - LEAST_US) / MOST_DEGREES;
}

uint32_t aiot_servo_duty(double degrees, unsigned bits, unsigned hz) {
  const double most = (double)((1ul << bits) - 1);
  return (uint32_t)(aiot_servo_pulse_us(degrees) * most * hz / 1e6);
}

void aiot_servo_init(aiot_servo *servo, bool on, uint64_t now_ms) {
  *servo = (aiot_servo){.step_ms = 20, .moved_ms = now_ms};
  aiot_servo_turn(servo, on);
  servo->degrees = servo->target;
}

void aiot_servo_turn(aiot_servo *servo, bool on) { servo->target = on ? MOST_DEGREES : 0; }

bool aiot_servo_step(aiot_servo *servo, uint64_t now_ms) {
  if (servo->degrees == servo->target) {
    /* A servo at rest waits for a full step before it moves. */
    servo->moved_ms = now_ms;
    return false;
  }
  const uint64_t steps = (now_ms - servo->moved_ms) / servo->step_ms;
  if (steps == 0) return false;
  servo->moved_ms += steps * servo->step_ms;
  const unsigned way = servo->target > servo->degrees ? (unsigned)servo->target - servo->degrees : (unsigned)servo->degrees - servo->target;
  const unsigned by = steps < way ? (unsigned)steps : way;
  servo->degrees = (uint8_t)(servo->target > servo->degrees ? servo->degrees + by : servo->degrees - by);
  return true;
}

/*
 * A device's own reaction to its predictions: an actuator that is on or off, with hysteresis and minimum times in either state. A
 * fail-safe position applies at boot and when predictions stop. No network connection is needed. A servo moves to its position in
 * steps, without blocking.
 */
#ifndef AIOT_RULE_H
#define AIOT_RULE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
  /* Thresholds: the actuator is on above the first and off below the second, and unchanged in between. */
  double on_above;
  double off_below;
  /* Minimum times in each state. The fail-safe position applies without waiting for them. */
  uint32_t min_on_ms;
  uint32_t min_off_ms;
  /* Time without a prediction after which the fail-safe position is applied. */
  uint32_t loss_ms;
  /* The fail-safe position. */
  bool safe_on;
} aiot_rule_spec;

/*
 * The rule of the guide's level 1: on above 0.8, off below 0.7, at least 5 s in each state, off at boot and after 30
 * s without a prediction.
 */
aiot_rule_spec aiot_rule_default(void);

typedef enum { AIOT_RULE_BOOT, AIOT_RULE_ANSWER, AIOT_RULE_LOSS } aiot_rule_reason;

typedef struct {
  aiot_rule_spec spec;
  bool on;
  /* Whether the position has changed since boot. Before that, no minimum time applies. */
  bool turned;
  /* The reason for the current position, and the time since which it has applied. */
  aiot_rule_reason reason;
  uint64_t since_ms;
  uint64_t answered_ms;
} aiot_rule;

/* Initializes a rule. False if a threshold is not a number, or the thresholds are reversed. */
bool aiot_rule_init(aiot_rule *rule, const aiot_rule_spec *spec, uint64_t now_ms);

/* Processes a new prediction: its probability, error or value. NaN is ignored. True if the position changed. */
bool aiot_rule_answer(aiot_rule *rule, double value, uint64_t now_ms);

/* Advances the time. It must also be called between predictions. True if the position changed. */
bool aiot_rule_tick(aiot_rule *rule, uint64_t now_ms);

/* Pulse width of a hobby servo, us: 544 at 0 degrees, 2400 at 180. Angles outside this range are clamped. */
double aiot_servo_pulse_us(double degrees);

/*
 * Duty value of a PWM timer with this resolution and frequency: at 16 bits and 50 Hz, 1782 for 0 degrees and 7864 for 180.
 */
uint32_t aiot_servo_duty(double degrees, unsigned bits, unsigned hz);

/* A servo, which moves one step at a time. */
typedef struct {
  uint8_t degrees;
  uint8_t target;
  uint32_t step_ms;
  uint64_t moved_ms;
} aiot_servo;

/* Starts with the position for `on`, because the actual one is unknown. The servo moves one degree every 20 ms. */
void aiot_servo_init(aiot_servo *servo, bool on, uint64_t now_ms);

/* Sets the target: 180 degrees (on) or 0 (off). */
void aiot_servo_turn(aiot_servo *servo, bool on);

/* Moves the servo by as many degrees as the time allows. True if it moved; the caller then sets its PWM timer. */
bool aiot_servo_step(aiot_servo *servo, uint64_t now_ms);

#endif

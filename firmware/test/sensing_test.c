/* Tests the guide's sensors and actuator, without the defects of its firmware. */
#include "aiot/rule.h"
#include "aiot/sensing.h"
#include "aiot/window.h"

#include <math.h>

#include "check.h"

static const double pi = 3.14159265358979323846;
static const aiot_converter esp32 = {12, 3.3};

static void near(checks *c, const char *what, size_t row, double expected, double got, double within) {
  if (!check_at(c, what, "row", row, fabs(expected - got) <= within)) printf("  expected %g, got %g\n", expected, got);
}

/* Expected values are published, or were computed from the parts' data sheets. */
static void test_circuit(checks *c) {
  near(c, "burden of 100 A, 2200 turns, 3.3 V", 0, 25.67, aiot_burden_ohms(100, 2200, 3.3), 0.005);
  near(c, "burden of 100 A, 2000 turns, 3.3 V", 0, 23.3, aiot_burden_ohms(100, 2000, 3.3), 0.05);
  static const struct {
    double turns, ohms, calibration, peak_volts, milliwatts;
  } rows[] = {{2000, 18, 111.1, 1.27, 45}, {2200, 25.78, 85.3, 1.66, 53}, {2000, 23.3, 85.7, 1.65, 58}, {2000, 22, 90.9, 1.56, 55}, {2000, 16, 125, 1.13, 40}};
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    const double calibration = aiot_current_calibration(rows[i].turns, rows[i].ohms);
    near(c, "A per V", i, rows[i].calibration, calibration, 0.15);
    near(c, "peak at 100 A", i, rows[i].peak_volts, 100 * sqrt(2.0) / calibration, 0.006);
    near(c, "mW in the burden", i, rows[i].milliwatts, 1000 * aiot_burden_watts(100, rows[i].turns, rows[i].ohms), 0.7);
  }
  near(c, "corner of 10 kohm, 10 kohm and 10 uF", 0, 3.2, aiot_bias_corner_hz(10e3, 10e3, 10e-6), 0.02);
  near(c, "0.75 V", 0, 25, aiot_tmp36_celsius(0.75), 1e-9);
  near(c, "0.1 V", 0, -40, aiot_tmp36_celsius(0.1), 1e-9);
  near(c, "1.75 V", 0, 125, aiot_tmp36_celsius(1.75), 1e-9);
}

/* One second of four channels at 2 kHz in one window: 10 A at 50 Hz, 50 degrees, a sound of 0.4 V, a vibration of 0.2 V RMS. */
static void test_window(checks *c) {
  enum { samples = 2000, axes = 4 };
  static float ring[samples * axes], window[samples * axes];
  aiot_window of;
  aiot_window_init(&of, ring, samples, axes, samples);
  const double count = aiot_volts_per_count(esp32), middle = 1.65 / count;
  const double ampere = sqrt(2.0) / aiot_current_calibration(2000, 22) / count;
  bool full = false;
  for (size_t i = 0; i < samples + 7 && !full; i++) {
    const double t = (double)i / 2000;
    const float sample[axes] = {(float)round(middle + 10 * ampere * sin(2 * pi * 50 * t)), (float)round(1.0 / count),
                                (float)round(middle + 0.2 / count * sin(2 * pi * 440 * t)),
                                (float)round(middle + 0.2 * sqrt(2.0) / count * sin(2 * pi * 80 * t))};
    full = aiot_window_push(&of, sample);
  }
  check_at(c, "window", "full", 0, full);
  aiot_window_copy(&of, window);
  const aiot_channel channels[axes] = {aiot_sct013(esp32, 2000, 22), aiot_tmp36(esp32), aiot_max4465(esp32), aiot_piezo(esp32)};
  const double expected[axes] = {10, 50, 0.4, 0.2}, within[axes] = {0.02, 0.1, 0.002, 0.001};
  for (size_t a = 0; a < axes; a++) {
    const aiot_summary counts = aiot_summary_of(window, samples, axes, a);
    near(c, "channel", a, expected[a], aiot_channel_value(&channels[a], &counts), within[a]);
  }
}

/* For one sample, the guide's firmware computed a loudness of 2^32 and, without any current, a current of 400. */
static void test_nothing(checks *c) {
  const float rest[] = {2048, 2048, 2048};
  const aiot_summary one = aiot_summary_of(rest, 1, 1, 0), three = aiot_summary_of(rest, 3, 1, 0);
  const aiot_channel sound = aiot_max4465(esp32), current = aiot_sct013(esp32, 2000, 22);
  near(c, "loudness of one sample", 0, 0, aiot_channel_value(&sound, &one), 0);
  near(c, "no current", 0, 0, aiot_channel_value(&current, &three), 0);
  near(c, "rms with its mean", 0, 2048, three.rms, 1e-9);
  const float small[] = {4000000, 4000001, 4000000, 4000001};
  near(c, "a small swing on a large offset", 0, 0.5, aiot_summary_of(small, 4, 1, 0).ac_rms, 1e-6);
}

static void test_rule(checks *c) {
  aiot_rule rule;
  const aiot_rule_spec spec = aiot_rule_default();
  check_at(c, "rule", "default", 0, aiot_rule_init(&rule, &spec, 1000));
  check_at(c, "rule", "off at boot", 0, !rule.on && rule.reason == AIOT_RULE_BOOT);
  check_at(c, "rule", "off at the threshold", 0, !aiot_rule_answer(&rule, 0.8, 1001) && !rule.on);
  check_at(c, "rule", "on above it, immediately the first time", 0, aiot_rule_answer(&rule, 0.81, 1002) && rule.on);
  check_at(c, "rule", "unchanged between the thresholds", 0, !aiot_rule_answer(&rule, 0.75, 9000) && rule.on);
  check_at(c, "rule", "off below", 0, aiot_rule_answer(&rule, 0.69, 9001) && !rule.on);
  check_at(c, "rule", "off for at least 5 s", 0, !aiot_rule_answer(&rule, 0.99, 14000) && !rule.on);
  check_at(c, "rule", "then on", 0, aiot_rule_answer(&rule, 0.99, 14001) && rule.on);
  check_at(c, "rule", "on for at least 5 s", 0, !aiot_rule_answer(&rule, 0.1, 19000) && rule.on);
  check_at(c, "rule", "an invalid prediction is ignored", 0, !aiot_rule_answer(&rule, NAN, 20000) && rule.on);
  check_at(c, "rule", "on for 30 s without predictions", 0, !aiot_rule_tick(&rule, 49000) && rule.on);
  check_at(c, "rule", "off after more than 30 s", 0, aiot_rule_tick(&rule, 49001) && !rule.on && rule.reason == AIOT_RULE_LOSS);
  check_at(c, "rule", "reported once", 0, !aiot_rule_tick(&rule, 60000));
  check_at(c, "rule", "on again with predictions", 0, aiot_rule_answer(&rule, 0.9, 60001) && rule.on);
  aiot_rule_spec open = spec;
  open.safe_on = true;
  aiot_rule_init(&rule, &open, 0);
  check_at(c, "rule", "fail-safe on at boot", 0, rule.on);
  check_at(c, "rule", "off immediately after boot", 0, aiot_rule_answer(&rule, 0.1, 10) && !rule.on);
  check_at(c, "rule", "a loss ignores the minimum time", 0, aiot_rule_tick(&rule, 30011) && rule.on);
  aiot_rule_spec wrong = spec;
  wrong.off_below = 0.9;
  check_at(c, "rule", "reversed thresholds", 0, !aiot_rule_init(&rule, &wrong, 0));
  wrong.off_below = NAN;
  check_at(c, "rule", "a threshold that is not a number", 0, !aiot_rule_init(&rule, &wrong, 0));
}

/*
 * For any predictions, the actuator must never change faster than the minimum times, except after predictions stop, and must
 * never stay on for long without predictions.
 */
static void test_rule_at_random(checks *c) {
  uint32_t seed = 3;
  aiot_rule_spec spec = {0.8, 0.6, 700, 300, 2000, false};
  aiot_rule rule;
  aiot_rule_init(&rule, &spec, 0);
  uint64_t now = 0, changed = 0, answered = 0;
  bool first = true, good = true;
  size_t changes = 0, losses = 0;
  for (int i = 0; i < 200000; i++) {
    seed = seed * 1664525u + 1013904223u;
    now += (seed >> 8) % 90;
    const bool before = rule.on, silent = (i / 1000) % 5 == 4;
    const double value = (double)((seed >> 4) % 1000) / 1000;
    const bool moved = silent ? aiot_rule_tick(&rule, now) : aiot_rule_answer(&rule, value, now);
    if (!silent) answered = now;
    good = good && moved == (before != rule.on);
    if (now - answered > spec.loss_ms) good = good && !rule.on;
    if (!moved) continue;
    const bool loss = rule.reason == AIOT_RULE_LOSS;
    if (!first && !loss) good = good && now - changed >= (rule.on ? spec.min_off_ms : spec.min_on_ms);
    if (loss) losses++;
    first = false;
    changed = now;
    changes++;
  }
  check_at(c, "rule", "keeps its times", changes, good && changes > 1000 && losses > 5);
}

static void test_servo(checks *c) {
  check_equal(c, "duty", 0, 1782, aiot_servo_duty(0, 16, 50));
  check_equal(c, "duty", 180, 7864, aiot_servo_duty(180, 16, 50));
  check_equal(c, "duty below", 0, 1782, aiot_servo_duty(-5, 16, 50));
  check_equal(c, "duty beyond", 0, 7864, aiot_servo_duty(500, 16, 50));
  near(c, "pulse of 90 degrees", 0, 1472, aiot_servo_pulse_us(90), 1e-9);
  aiot_servo servo;
  aiot_servo_init(&servo, true, 100);
  check_at(c, "servo", "starts open if that is the fail-safe position", 0, servo.degrees == 180 && !aiot_servo_step(&servo, 5000));
  aiot_servo_init(&servo, false, 100);
  check_at(c, "servo", "does not move at boot", 0, !aiot_servo_step(&servo, 5000) && servo.degrees == 0);
  aiot_servo_turn(&servo, true);
  check_at(c, "servo", "no step before its time", 0, !aiot_servo_step(&servo, 5019));
  check_at(c, "servo", "one degree", 0, aiot_servo_step(&servo, 5020) && servo.degrees == 1);
  check_at(c, "servo", "catches up if it is late", 0, aiot_servo_step(&servo, 5059) && servo.degrees == 2 && aiot_servo_step(&servo, 5060) && servo.degrees == 3);
  uint64_t now = 5060;
  for (; servo.degrees != 180; now += 5) aiot_servo_step(&servo, now);
  check_at(c, "servo", "180 degrees in 3.6 s", (size_t)now, now >= 8600 && now <= 8606);
  aiot_servo_turn(&servo, false);
  check_at(c, "servo", "returns as far as the time allows", 0, aiot_servo_step(&servo, now + 100000) && servo.degrees == 0);
}

int main(void) {
  checks c = {0, 0};
  test_circuit(&c);
  test_window(&c);
  test_nothing(&c);
  test_rule(&c);
  test_rule_at_random(&c);
  test_servo(&c);
  return checks_end(&c);
}

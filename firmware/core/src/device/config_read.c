#include <math.h>
#include <string.h>

#include "aiot/config.h"
#include "aiot/json.h"

aiot_config aiot_config_default(void) {
  return (aiot_config){.sample_hz = 0, .telemetry = true, .telemetry_ms = 1000, .report_ms = 0, .keep_alive_s = 30, .rule = aiot_rule_default()};
}

typedef struct {
  aiot_json json;
  aiot_error *error;
} reader;

/* Records an error; only the first one is reported. */
static void wrong(reader *r, const char *member, const char *expected) {
  if (r->error->code[0] == '\0') aiot_error_set(r->error, AIOT_CONFIG_MALFORMED, "%s: expected %s", member, expected);
  r->json.failed = true;
}

static double read_number(reader *r, const char *member, double least, double most, const char *expected) {
  const bool there = aiot_json_peek(&r->json) == '0';
  const double value = there ? aiot_json_number(&r->json) : 0;
  if (!there || !(value >= least && value <= most)) wrong(r, member, expected);
  return value;
}

static uint32_t read_integer(reader *r, const char *member, double least, double most, const char *expected) {
  const double value = read_number(r, member, least, most, expected);
  if (!r->json.failed && floor(value) < value) wrong(r, member, expected);
  return r->json.failed ? 0 : (uint32_t)value;
}

static bool read_boolean(reader *r, const char *member) {
  const char next = aiot_json_peek(&r->json);
  if (next != 't' && next != 'f') wrong(r, member, "true or false");
  return aiot_json_boolean(&r->json);
}

static bool enter(reader *r, const char *member) {
  if (aiot_json_peek(&r->json) == '{') return aiot_json_enter(&r->json, '{');
  wrong(r, member, "an object");
  return false;
}

static void read_telemetry(reader *r, aiot_config *config) {
  enter(r, "telemetry");
  while (aiot_json_key(&r->json)) {
    if (aiot_json_is(&r->json, "publish")) config->telemetry = read_boolean(r, "telemetry.publish");
    else if (aiot_json_is(&r->json, "intervalMs"))
      config->telemetry_ms = read_integer(r, "telemetry.intervalMs", 10, 60000, "10 to 60000 ms");
    else wrong(r, "telemetry", "publish or intervalMs");
  }
}

static void read_report(reader *r, aiot_config *config) {
  enter(r, "report");
  while (aiot_json_key(&r->json)) {
    if (aiot_json_is(&r->json, "intervalMs")) {
      config->report_ms = read_integer(r, "report.intervalMs", 0, 86400000, "0, or 1000 to 86400000 ms");
      if (config->report_ms > 0 && config->report_ms < 1000) wrong(r, "report.intervalMs", "0, or 1000 to 86400000 ms");
    } else {
      wrong(r, "report", "intervalMs");
    }
  }
}

static void read_mqtt(reader *r, aiot_config *config) {
  enter(r, "mqtt");
  while (aiot_json_key(&r->json)) {
    if (aiot_json_is(&r->json, "keepAliveS")) config->keep_alive_s = read_integer(r, "mqtt.keepAliveS", 5, 3600, "5 to 3600 s");
    else wrong(r, "mqtt", "keepAliveS");
  }
}

static void read_rule(reader *r, aiot_config *config) {
  static const char day[] = "0 to 86400000 ms";
  aiot_rule_spec *rule = &config->rule;
  enter(r, "rule");
  while (aiot_json_key(&r->json)) {
    if (aiot_json_is(&r->json, "onAbove")) rule->on_above = read_number(r, "rule.onAbove", -1e9, 1e9, "a number from -1e9 to 1e9");
    else if (aiot_json_is(&r->json, "offBelow"))
      rule->off_below = read_number(r, "rule.offBelow", -1e9, 1e9, "a number from -1e9 to 1e9");
    else if (aiot_json_is(&r->json, "minOnMs")) rule->min_on_ms = read_integer(r, "rule.minOnMs", 0, 86400000, day);
    else if (aiot_json_is(&r->json, "minOffMs")) rule->min_off_ms = read_integer(r, "rule.minOffMs", 0, 86400000, day);
    else if (aiot_json_is(&r->json, "lossMs")) rule->loss_ms = read_integer(r, "rule.lossMs", 100, 86400000, "100 to 86400000 ms");
    else if (aiot_json_is(&r->json, "safeOn")) rule->safe_on = read_boolean(r, "rule.safeOn");
    else wrong(r, "rule", "onAbove, offBelow, minOnMs, minOffMs, lossMs or safeOn");
  }
}

static void read_spec(reader *r, bool *told) {
  char spec[16] = "";
  if (aiot_json_peek(&r->json) == '"') aiot_json_text(&r->json, spec, sizeof spec);
  if (strcmp(spec, "aiot-config/1") != 0) wrong(r, "spec", "\"aiot-config/1\"");
  *told = true;
}

aiot_code aiot_config_read(aiot_config *config, const void *text, size_t bytes, aiot_error *error) {
  reader r = {.error = error};
  bool told = false;
  *config = aiot_config_default();
  memset(error, 0, sizeof *error);
  aiot_json_begin(&r.json, text, bytes);
  aiot_json_enter(&r.json, '{');
  while (aiot_json_key(&r.json)) {
    if (aiot_json_is(&r.json, "spec")) {
      read_spec(&r, &told);
    } else if (aiot_json_is(&r.json, "sampleHz")) {
      config->sample_hz = read_number(&r, "sampleHz", 0.001, 1e6, "0.001 to 1000000 Hz");
    } else if (aiot_json_is(&r.json, "telemetry")) {
      read_telemetry(&r, config);
    } else if (aiot_json_is(&r.json, "report")) {
      read_report(&r, config);
    } else if (aiot_json_is(&r.json, "mqtt")) {
      read_mqtt(&r, config);
    } else if (aiot_json_is(&r.json, "rule")) {
      read_rule(&r, config);
    } else {
      wrong(&r, "configuration", "spec, sampleHz, telemetry, report, mqtt or rule");
    }
  }
  bool good = bytes <= AIOT_CONFIG_BYTES && aiot_json_done(&r.json);
  if (good && !told) wrong(&r, "spec", "\"aiot-config/1\"");
  if (good && told && config->rule.off_below > config->rule.on_above) wrong(&r, "rule.offBelow", "at most rule.onAbove");
  good = good && !r.json.failed;
  if (!good && error->code[0] == '\0') aiot_error_set(error, AIOT_CONFIG_MALFORMED, "the configuration is not JSON of at most %u bytes", AIOT_CONFIG_BYTES);
  return good ? AIOT_OK : AIOT_CONFIG_MALFORMED;
}

size_t aiot_config_group(const aiot_config *config, double sensor_hz) {
  if (config->sample_hz <= 0) return 1;
  const double ratio = sensor_hz / config->sample_hz;
  const double whole = floor(ratio + 0.5);
  return whole >= 1 && whole < 1e6 && fabs(ratio - whole) <= 1e-9 * ratio ? (size_t)whole : 0;
}

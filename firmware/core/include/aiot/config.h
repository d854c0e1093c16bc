/*
 * What an operator sets of a device without giving it another program or model: a signed document of JSON, the kind `config` of updates (docs/protocol.md,
 * "Configuration"). The form is that of src/lib/formats/device-config.ts.
 */
#ifndef AIOT_CONFIG_H
#define AIOT_CONFIG_H

#include "aiot/manifest.h"
#include "aiot/rule.h"

/* Longest document: it is read into memory whole. */
#define AIOT_CONFIG_BYTES 2048u

typedef struct {
  /* Samples a second that are used: the mean of as many as come in that time. 0 = each sample as the sensor gives it. */
  double sample_hz;
  /* Whether samples are published, and how much of them a message holds. */
  bool telemetry;
  uint32_t telemetry_ms;
  /* `reported` comes again after so long without a change; 0 = never. */
  uint32_t report_ms;
  /* Seconds of silence after which the broker is asked whether it is there. */
  uint32_t keep_alive_s;
  aiot_rule_spec rule;
} aiot_config;

/* What holds where nothing was set. */
aiot_config aiot_config_default(void);

/* Members that are absent have their default; unknown ones are refused, for half of what was meant is worse than none. AIOT_CONFIG_MALFORMED. */
aiot_code aiot_config_read(aiot_config *config, const void *text, size_t bytes, aiot_error *error);

/* How many samples of a sensor become one; 0 = the sensor's rate is no multiple of the one that is set. */
size_t aiot_config_group(const aiot_config *config, double sensor_hz);

#endif

/*
 * A device's settings, which an operator changes independently of its program and model: a signed JSON document, updates of kind
 * `config` (docs/reference/protocol.md, "Configuration"). The format is that of src/lib/formats/device-config.ts.
 */
#ifndef AIOT_CONFIG_H
#define AIOT_CONFIG_H

#include "aiot/manifest.h"
#include "aiot/rule.h"

/* Maximum size of a document, bytes. The whole document is read into memory. */
#define AIOT_CONFIG_BYTES 2048u

typedef struct {
  /*
   * Rate of the samples that are used, Hz. Each is the mean of the sensor's samples in its interval. 0 = every sample of the
   * sensor.
   */
  double sample_hz;
  /* Whether samples are published, and the period that the samples of one message cover. */
  bool telemetry;
  uint32_t telemetry_ms;
  /* Time after which `reported` is published again if it has not been published since; 0 = never. */
  uint32_t report_ms;
  /* Keep-alive interval in seconds. */
  uint32_t keep_alive_s;
  aiot_rule_spec rule;
} aiot_config;

/* The default configuration. */
aiot_config aiot_config_default(void);

/*
 * Reads a configuration. Missing members get their defaults. Unknown members are rejected, because a partly applied configuration
 * is worse than none. Error: AIOT_CONFIG_MALFORMED.
 */
aiot_code aiot_config_read(aiot_config *config, const void *text, size_t bytes, aiot_error *error);

/* Number of the sensor's samples that are averaged into one; 0 = the sensor's rate is not a multiple of the configured rate. */
size_t aiot_config_group(const aiot_config *config, double sensor_hz);

#endif

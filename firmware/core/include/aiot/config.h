/*
 * A device's settings, changed by an operator independently of its program and model: a signed JSON
 * document, the kind `config` of updates (docs/reference/protocol.md, "Configuration"). The format
 * is that of src/lib/formats/device-config.ts.
 */
#ifndef AIOT_CONFIG_H
#define AIOT_CONFIG_H

#include "aiot/manifest.h"
#include "aiot/rule.h"

/* Maximum size of a document, which is read into memory as a whole. */
#define AIOT_CONFIG_BYTES 2048u

typedef struct {
  /*
   * Effective samples per second; each is the mean of the sensor samples in its interval. 0 = use every sensor sample.
   */
  double sample_hz;
  /* Whether samples are published, and the time span of the samples in one message. */
  bool telemetry;
  uint32_t telemetry_ms;
  /* `reported` is published again after this long without a publication; 0 = never. */
  uint32_t report_ms;
  /* Keep-alive interval in seconds. */
  uint32_t keep_alive_s;
  aiot_rule_spec rule;
} aiot_config;

/* The default configuration. */
aiot_config aiot_config_default(void);

/*
 * Missing members get their defaults. Unknown ones are rejected, because a partly applied
 * configuration is worse than none. AIOT_CONFIG_MALFORMED.
 */
aiot_code aiot_config_read(aiot_config *config, const void *text, size_t bytes, aiot_error *error);

/*
 * Number of sensor samples averaged into one; 0 = the sensor's rate is not a multiple of the
 * configured one.
 */
size_t aiot_config_group(const aiot_config *config, double sensor_hz);

#endif

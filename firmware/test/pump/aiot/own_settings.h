/* The settings of a pump, as in docs/how-to/device-settings.md. */
#ifndef AIOT_OWN_SETTINGS_H
#define AIOT_OWN_SETTINGS_H

#include <string.h>

#include "aiot/setting.h"

static int32_t rpm, every_s;
static bool quiet;
static double gain;
static char site[32], mode[8];

static aiot_code start_pump(void *context, char reason[AIOT_REASON_BYTES]) {
  (void)context;
  if (!quiet || rpm <= 2000) return AIOT_OK;
  strcpy(reason, "a quiet pump can have at most 2000 rpm");
  return AIOT_SETTINGS_REJECTED;
}

AIOT_SETTINGS(own_settings, start_pump,
  AIOT_SETTING_INTEGER("rpm", rpm, 900, 0, 3000)
  AIOT_SETTING_INTEGER("report.everyS", every_s, 60, 1, 86400)
  AIOT_SETTING_BOOLEAN("quiet", quiet, false)
  AIOT_SETTING_NUMBER("gain", gain, 1.5, 0, 10)
  AIOT_SETTING_TEXT("site", site, "")
  AIOT_SETTING_CHOICE("mode", mode, "eco", "eco|normal|boost"));

#endif

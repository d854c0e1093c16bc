#include "aiot/sensors.h"

#include <math.h>

static double volts_per_ampere(aiot_acs712_kind kind) {
  switch (kind) {
    case AIOT_ACS712_5A: return 0.185;
    case AIOT_ACS712_20A: return 0.1;
    case AIOT_ACS712_30A: return 0.066;
  }
  return 0.066;
}

aiot_channel aiot_acs712(aiot_converter converter, aiot_acs712_kind kind, double divider) {
  return (aiot_channel){AIOT_AC_RMS, aiot_volts_per_count(converter), 1 / (divider * volts_per_ampere(kind)), 0};
}

aiot_channel aiot_acs712_direct(aiot_converter converter, aiot_acs712_kind kind, double divider, double supply_volts) {
  const double sensitivity = volts_per_ampere(kind);
  return (aiot_channel){AIOT_MEAN, aiot_volts_per_count(converter), 1 / (divider * sensitivity), -supply_volts / 2 / sensitivity};
}

double aiot_inmp441_sample(int32_t slot) {
  /* Rounds down, like a right shift of a 24-bit number. */
  const int32_t low = (int32_t)((uint32_t)slot & 0xffu);
  return (double)(slot - low) / 2147483648.0;
}

double aiot_inmp441_decibels(double rms) { return 20 * log10(rms * sqrt(2.0)) + 26 + 94; }

size_t aiot_adc_word_bytes(aiot_adc_word word) { return word == AIOT_ADC_WORD16 ? 2 : 4; }

bool aiot_adc_parse(aiot_adc_word word, const uint8_t *bytes, aiot_adc_result *result) {
  const unsigned low = bytes[0] | (unsigned)bytes[1] << 8;
  result->count = (uint16_t)(low & 0xfff);
  if (word == AIOT_ADC_WORD16) {
    result->channel = (uint8_t)(low >> 12);
    return true;
  }
  const unsigned high = bytes[2] | (unsigned)bytes[3] << 8;
  const unsigned all = low | high << 16;
  /* The channel takes four or three bits. The number of the ADC follows it, unless the chip has only one; those bits are reserved. */
  const unsigned bits = word == AIOT_ADC_WORD32_C3 ? 3 : 4;
  result->channel = (uint8_t)(all >> 13 & ((1u << bits) - 1));
  return word == AIOT_ADC_WORD32_C6 || (all >> (13 + bits) & 1) == 0;
}

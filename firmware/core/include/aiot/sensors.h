/*
 * Sensors other than the guide's (aiot/sensing.h) and the IMUs (aiot/imu.h): a thermometer on 1-Wire, a Hall current sensor, a
 * digital microphone, and the DMA output of an ESP32's ADC.
 */
#ifndef AIOT_SENSORS_H
#define AIOT_SENSORS_H

#include "aiot/bus.h"
#include "aiot/sensing.h"

#define AIOT_SCRATCHPAD_BYTES 9

/* CRC-8 of Dallas: x^8 + x^5 + x^4 + 1, lowest bit first. */
uint8_t aiot_wire_crc(const uint8_t *data, size_t bytes);

/*
 * Degrees Celsius from a DS18B20's scratchpad. False if it is corrupted (wrong checksum, or a wire that is held low), still
 * contains the power-on value, or is beyond the measuring range.
 */
bool aiot_ds18b20_celsius(const uint8_t scratchpad[AIOT_SCRATCHPAD_BYTES], double *celsius);

/*
 * Starts a conversion on all thermometers on the wire, which takes 750 ms at 12 bits. False: no device answered.
 */
bool aiot_ds18b20_convert(const aiot_wire *wire);

/* Reads the only thermometer on the wire. Errors: ABSENT, FAILED. */
aiot_sensor_code aiot_ds18b20_read(const aiot_wire *wire, double *celsius);

typedef enum { AIOT_ACS712_5A, AIOT_ACS712_20A, AIOT_ACS712_30A } aiot_acs712_kind;

/*
 * RMS of an alternating current, A. The sensor runs on 5 V, which the ADC pin does not tolerate. `divider`: the fraction of the sensor's
 * output that reaches the ADC, such as 2.0/3 for 10 kohm and 20 kohm.
 */
aiot_channel aiot_acs712(aiot_converter converter, aiot_acs712_kind kind, double divider);
/* Direct current, A. Zero current reads as half of the sensor's `supply_volts`. */
aiot_channel aiot_acs712_direct(aiot_converter converter, aiot_acs712_kind kind, double divider, double supply_volts);

/* Converts a 32-bit slot of an I2S frame, whose upper 24 bits are the INMP441's sample, to -1 to 1. */
double aiot_inmp441_sample(int32_t slot);
/* dB SPL of the RMS of such samples: 94 dB SPL is 26 dB below full scale. */
double aiot_inmp441_decibels(double rms);

/*
 * Formats of a chip's DMA conversion results: 2 bytes with a 4-bit channel (ESP32), or 4 bytes with the channel starting at bit 13
 * (ESP32-S3 and P4: 4 bits; C3: 3 bits; C6 and H2: 4 bits, and there is only one ADC).
 */
typedef enum { AIOT_ADC_WORD16, AIOT_ADC_WORD32_S3, AIOT_ADC_WORD32_C3, AIOT_ADC_WORD32_C6 } aiot_adc_word;

typedef struct {
  uint8_t channel;
  uint16_t count;
} aiot_adc_result;

size_t aiot_adc_word_bytes(aiot_adc_word word);
/* Parses one result of `aiot_adc_word_bytes` bytes. False if it belongs to the other ADC. */
bool aiot_adc_parse(aiot_adc_word word, const uint8_t *bytes, aiot_adc_result *result);

#endif

#ifndef AIOT_DECLARED_ESP_ADC_ADC_CALI_H
#define AIOT_DECLARED_ESP_ADC_ADC_CALI_H

#include "esp_err.h"

typedef enum { ADC_UNIT_1, ADC_UNIT_2 } adc_unit_t;
typedef int adc_channel_t;
typedef enum { ADC_ATTEN_DB_12 = 3 } adc_atten_t;
typedef enum { ADC_BITWIDTH_12 = 12 } adc_bitwidth_t;
typedef struct adc_cali_scheme_t *adc_cali_handle_t;

esp_err_t adc_cali_raw_to_voltage(adc_cali_handle_t handle, int raw, int *millivolts);

#endif

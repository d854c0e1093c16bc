/*
 * Tests that the pins in settings.h for the chip of sdkconfig.h are those of docs/reference/hardware.md. Like source_analogue.c,
 * this file includes only settings.h, because no other file may define the chip.
 */
#include "settings.h"

#include <string.h>

#include "check.h"

#define TEXT_OF(...) #__VA_ARGS__
#define TEXT(...) TEXT_OF(__VA_ARGS__)

/* Pins of temperature, vibration, sound and current; of the servo; of I2C; of 1-Wire; of I2S; of a W5500. */
static const struct {
  const char *chip, *adc, *servo, *i2c, *wire, *i2s, *w5500;
} chips[] = {
    {"esp32", "36, 39, 34, 35", "4", "21, 22", "21", "26, 25, 33", "18, 23, 19, 5, 27"},
    {"esp32s3", "1, 2, 3, 4", "14", "8, 9", "8", "5, 6, 7", "12, 11, 13, 10, 15"},
    {"esp32c3", "0, 1, 3, 4", "10", "5, 6", "5", "7, 3, 4", "7, 8, 2, 9, -1"},
    {"esp32c6", "0, 1, 2, 3", "18", "6, 7", "6", "19, 20, 21", "10, 11, 22, 23, 5"},
    {"esp32h2", "1, 2, 3, 4", "5", "12, 22", "12", "1, 2, 3", "10, 11, 13, 14, 0"},
    {"esp32p4", "20, 21, 22, 23", "54", "7, 8", "7", "46, 47, 48", "26, 27, 32, 33, 36"},
};

int main(void) {
  checks c = {0, 0};
  for (size_t i = 0; i < sizeof chips / sizeof chips[0]; i++) {
    if (strcmp(chips[i].chip, CONFIG_IDF_TARGET) != 0) continue;
    check_at(&c, "pins", "converter", i, strcmp(chips[i].adc, TEXT(AIOT_ADC_PINS)) == 0);
    check_at(&c, "pins", "servo", i, strcmp(chips[i].servo, TEXT(AIOT_SERVO_PIN)) == 0);
    check_at(&c, "pins", "I2C", i, strcmp(chips[i].i2c, TEXT(AIOT_SDA_PIN, AIOT_SCL_PIN)) == 0);
    check_at(&c, "pins", "1-Wire", i, strcmp(chips[i].wire, TEXT(AIOT_WIRE_PIN)) == 0);
    check_at(&c, "pins", "I2S", i, strcmp(chips[i].i2s, TEXT(AIOT_I2S_PINS)) == 0);
    check_at(&c, "pins", "W5500", i, strcmp(chips[i].w5500, TEXT(AIOT_W5500_PINS)) == 0);
  }
  return checks_end(&c);
}

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

/* Pins that the chip's own Ethernet occupies, and that no setting moves. */
static const int rmii[] = {0, 18, 19, 21, 22, 23, 25, 26, 27};
static const int w5500[] = {AIOT_W5500_PINS};
static const int servo[] = {AIOT_SERVO_PIN};
static const int i2c[] = {AIOT_SDA_PIN, AIOT_SCL_PIN, AIOT_WIRE_PIN};
static const int i2s[] = {AIOT_I2S_PINS};
static const int adc[] = {AIOT_ADC_PINS};

#define COUNT(list) (sizeof(list) / sizeof(list)[0])
#define DISTINCT(a, b) distinct(a, COUNT(a), b, COUNT(b))

/* Whether two lists share no pin. -1 is no pin. */
static int distinct(const int *a, size_t as, const int *b, size_t bs) {
  for (size_t i = 0; i < as; i++) {
    for (size_t j = 0; j < bs; j++) {
      if (a[i] >= 0 && a[i] == b[j]) return 0;
    }
  }
  return 1;
}

/* A network and a sensor are used together, and the servo with both. */
static void check_overlaps(checks *c) {
  const int own = AIOT_NETWORK == AIOT_NETWORK_RMII && strcmp(CONFIG_IDF_TARGET, "esp32") == 0;
  const int *network = own ? rmii : w5500;
  const size_t pins = own ? COUNT(rmii) : COUNT(w5500);
  check_at(c, "overlap", "servo", 0, distinct(network, pins, servo, COUNT(servo)));
  check_at(c, "overlap", "I2C", 0, distinct(network, pins, i2c, COUNT(i2c)));
  check_at(c, "overlap", "converter", 0, distinct(network, pins, adc, COUNT(adc)));
  /* settings.h rejects the microphone with a W5500 on this chip. */
  const int rejected = strcmp(CONFIG_IDF_TARGET, "esp32c3") == 0;
  check_at(c, "overlap", "I2S", 0, distinct(network, pins, i2s, COUNT(i2s)) != rejected);
  check_at(c, "overlap", "servo and sensors", 0, DISTINCT(servo, i2c) && DISTINCT(servo, i2s) && DISTINCT(servo, adc));
}

int main(void) {
  checks c = {0, 0};
  check_overlaps(&c);
#if AIOT_NETWORK == AIOT_NETWORK_RMII && defined(CONFIG_IDF_TARGET_ESP32)
  /* The chip's own Ethernet moves I2C and I2S away from the pins in the table. */
  return checks_end(&c);
#endif
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

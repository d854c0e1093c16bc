#include "esp32.h"

/* Entry point for ESP-IDF; for Arduino, see arduino.cpp. */
#ifndef ARDUINO
void app_main(void);

void app_main(void) { aiot_esp32_start(); }
#endif

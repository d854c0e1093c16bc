#include "esp32.h"

/* ESP-IDF begins here; Arduino in arduino.cpp. */
#ifndef ARDUINO
void app_main(void);

void app_main(void) { aiot_esp32_start(); }
#endif

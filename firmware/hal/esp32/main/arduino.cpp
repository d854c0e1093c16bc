/* Entry point for Arduino; for ESP-IDF, see app_main.c. Everything else is shared. */
#ifdef ARDUINO
#include <Arduino.h>

extern "C" void aiot_esp32_start(void);

void setup() { aiot_esp32_start(); }

/* The device has its own tasks. */
void loop() { delay(1000); }
#endif

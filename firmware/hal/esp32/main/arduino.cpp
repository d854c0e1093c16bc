/* Arduino begins here; ESP-IDF in app_main.c. All else is the same. */
#ifdef ARDUINO
#include <Arduino.h>

extern "C" void aiot_esp32_start(void);

void setup() { aiot_esp32_start(); }

/* The device has tasks of its own. */
void loop() { delay(1000); }
#endif

#ifndef AIOT_DECLARED_ARDUINO_H
#define AIOT_DECLARED_ARDUINO_H

#include <stdint.h>

void delay(uint32_t ms);

#endif

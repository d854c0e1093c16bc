#ifndef AIOT_DECLARED_ESP_ATTR_H
#define AIOT_DECLARED_ESP_ATTR_H

#define IRAM_ATTR
#ifndef RTC_NOINIT_ATTR
#define RTC_NOINIT_ATTR __attribute__((section(".rtc_noinit")))
#endif

#endif

#ifndef AIOT_DECLARED_ESP_APP_DESC_H
#define AIOT_DECLARED_ESP_APP_DESC_H

#include <stddef.h>

int esp_app_get_elf_sha256(char *dst, size_t size);

#endif

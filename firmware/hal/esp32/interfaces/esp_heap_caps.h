#ifndef AIOT_DECLARED_ESP_HEAP_CAPS_H
#define AIOT_DECLARED_ESP_HEAP_CAPS_H

#include <stddef.h>
#include <stdint.h>

/* Memory that can be accessed by byte. */
#define MALLOC_CAP_8BIT (1u << 2)

size_t heap_caps_get_free_size(uint32_t kind);
size_t heap_caps_get_largest_free_block(uint32_t kind);
size_t heap_caps_get_minimum_free_size(uint32_t kind);

#endif

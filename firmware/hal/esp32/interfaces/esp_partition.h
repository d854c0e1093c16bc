#ifndef AIOT_DECLARED_ESP_PARTITION_H
#define AIOT_DECLARED_ESP_PARTITION_H

#include "esp_err.h"

typedef enum { ESP_PARTITION_TYPE_APP = 0, ESP_PARTITION_TYPE_DATA = 1, ESP_PARTITION_TYPE_ANY = 0xff } esp_partition_type_t;
typedef enum { ESP_PARTITION_SUBTYPE_APP_OTA_0 = 0x10, ESP_PARTITION_SUBTYPE_APP_OTA_1 = 0x11, ESP_PARTITION_SUBTYPE_DATA_COREDUMP = 0x03, ESP_PARTITION_SUBTYPE_ANY = 0xff } esp_partition_subtype_t;
typedef enum { ESP_PARTITION_MMAP_DATA } esp_partition_mmap_memory_t;
typedef uint32_t esp_partition_mmap_handle_t;

typedef struct {
  esp_partition_type_t type;
  esp_partition_subtype_t subtype;
  uint32_t address;
  uint32_t size;
  char label[17];
} esp_partition_t;

const esp_partition_t *esp_partition_find_first(esp_partition_type_t type, esp_partition_subtype_t subtype, const char *label);
esp_err_t esp_partition_read(const esp_partition_t *partition, size_t offset, void *out, size_t bytes);
esp_err_t esp_partition_read_raw(const esp_partition_t *partition, size_t offset, void *out, size_t bytes);
esp_err_t esp_partition_write(const esp_partition_t *partition, size_t offset, const void *data, size_t bytes);
esp_err_t esp_partition_erase_range(const esp_partition_t *partition, size_t offset, size_t bytes);
esp_err_t esp_partition_mmap(const esp_partition_t *partition, size_t offset, size_t bytes, esp_partition_mmap_memory_t memory, const void **out, esp_partition_mmap_handle_t *handle);

#endif

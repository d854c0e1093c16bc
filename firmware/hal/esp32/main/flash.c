/* Partitions of the chip's flash, for the core's flash interface. */
#include "esp32.h"
#include "esp_partition.h"

enum { SECTOR = 4096, RECORDS = 2 * SECTOR };

/* A partition, and its address once it is mapped. */
typedef struct {
  aiot_flash flash;
  const esp_partition_t *partition;
  const uint8_t *mapped;
} part;

static bool part_read(void *context, uint32_t offset, void *out, size_t bytes) {
  const part *self = context;
  return esp_partition_read(self->partition, offset, out, bytes) == ESP_OK;
}

static bool part_read_raw(void *context, uint32_t offset, void *out, size_t bytes) {
  const part *self = context;
  return esp_partition_read_raw(self->partition, offset, out, bytes) == ESP_OK;
}

static bool part_write(void *context, uint32_t offset, const void *data, size_t bytes) {
  const part *self = context;
  return esp_partition_write(self->partition, offset, data, bytes) == ESP_OK;
}

static bool part_erase(void *context, uint32_t offset) {
  const part *self = context;
  return esp_partition_erase_range(self->partition, offset, SECTOR) == ESP_OK;
}

/* Does nothing, because the driver returns only once the chip has finished. */
static bool part_sync(void *context) {
  (void)context;
  return true;
}

/* A partition is mapped once and permanently. Writing through the driver keeps the cache coherent. */
static const uint8_t *part_map(void *context, uint32_t offset, size_t bytes) {
  part *self = context;
  if (offset > self->flash.bytes || bytes > self->flash.bytes - offset) return NULL;
  if (self->mapped == NULL) {
    const void *memory = NULL;
    esp_partition_mmap_handle_t handle;
    if (esp_partition_mmap(self->partition, 0, self->flash.bytes, ESP_PARTITION_MMAP_DATA, &memory, &handle) != ESP_OK) return NULL;
    self->mapped = memory;
  }
  return self->mapped + offset;
}

static bool find(part *self, esp_partition_type_t type, const char *label) {
  self->partition = esp_partition_find_first(type, ESP_PARTITION_SUBTYPE_ANY, label);
  if (self->partition == NULL) return false;
  const uint32_t bytes = (uint32_t)self->partition->size;
  self->flash = (aiot_flash){self, bytes - bytes % SECTOR, SECTOR, part_read, part_write, part_erase, part_sync, part_map, part_read_raw};
  return true;
}

/* Type 0x40 is for application-specific partitions. See docs/reference/nvs.md. */
#define OWN_TYPE ((esp_partition_type_t)0x40)

static part records, slots[4];

/* Joins the record sectors from `first` on and both slots. Each slot has the size of the smaller one. */
static const aiot_flash *join(aiot_joined *joined, uint32_t first, part *a, part *b) {
  const uint32_t bytes = a->flash.bytes < b->flash.bytes ? a->flash.bytes : b->flash.bytes;
  if (records.partition == NULL && !find(&records, OWN_TYPE, "records")) return NULL;
  aiot_joined_init(joined);
  const bool good = aiot_joined_add(joined, &records.flash, first, RECORDS) && aiot_joined_add(joined, &a->flash, 0, bytes) &&
                    aiot_joined_add(joined, &b->flash, 0, bytes);
  return good ? &joined->flash : NULL;
}

const aiot_flash *aiot_esp32_models(void) {
  static aiot_joined joined;
  if (!find(&slots[0], OWN_TYPE, "model_0") || !find(&slots[1], OWN_TYPE, "model_1")) return NULL;
  return join(&joined, 0, &slots[0], &slots[1]);
}

/* Flash for configurations: two sectors of records, then one sector per slot. NULL on boards with an older table. */
const aiot_flash *aiot_esp32_configs(void) {
  static part configs;
  return find(&configs, OWN_TYPE, "config") && configs.flash.bytes >= 4 * SECTOR ? &configs.flash : NULL;
}

/* Flash for the trust state: two sectors. NULL on boards with an older table. */
const aiot_flash *aiot_esp32_trust(void) {
  static part trust;
  return find(&trust, OWN_TYPE, "trust") && trust.flash.bytes >= 2 * SECTOR ? &trust.flash : NULL;
}

/*
 * Flash for programs. Their records follow the two sectors of the models. If there are fewer than four sectors, programs can only
 * be updated by cable.
 */
const aiot_flash *aiot_esp32_programs(void) {
  static aiot_joined joined;
  if (!find(&slots[2], ESP_PARTITION_TYPE_APP, "ota_0") || !find(&slots[3], ESP_PARTITION_TYPE_APP, "ota_1")) return NULL;
  const aiot_flash *flash = join(&joined, RECORDS, &slots[2], &slots[3]);
  /* Programs are mapped only by the chip itself. */
  if (flash != NULL) joined.flash.map = NULL;
  return flash;
}
